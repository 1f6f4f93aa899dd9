/** Why the disk cannot be used: a kind that stays the same while the fault does, and a sentence without its stop. */
export interface DiskFault {
  readonly kind: string
  readonly why: string
}

/** What an error of the file system means for whoever reads the log. */
export function diskFault(error: unknown, path: string): DiskFault {
  const { code = 'unknown', message } = error as NodeJS.ErrnoException
  return { kind: code, why: sentence(code, path) ?? `${path} cannot be used: ${message}` }
}

function sentence(code: string, path: string): string | undefined {
  switch (code) {
    case 'ENOSPC':
      return `no space left on ${path}`
    case 'EDQUOT':
      return `the disk quota for ${path} is used up`
    case 'EACCES':
    case 'EPERM':
      return `${path} is not writable for this user (${code})`
    case 'EROFS':
      return `${path} is not writable: its file system is read-only`
    case 'ENOENT':
      return `${path} was removed`
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path} is not a directory, or stands in something that is none`
    case 'EMFILE':
    case 'ENFILE':
      return `${path} cannot be opened: too many files are open (${code})`
    case 'EIO':
      return `the disk of ${path} reports an error (EIO)`
    default:
      return undefined
  }
}
