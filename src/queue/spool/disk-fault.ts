/** Why the disk cannot be used. */
export interface DiskFault {
  /** An error code of the file system, `slow`, `files-full`, `closed` or `unknown`. */
  readonly kind: string
  /** The same as a clause for people. */
  readonly why: string
}

/** Describes an error of the file system. */
export function diskFault(error: unknown, path: string): DiskFault {
  const { code = 'unknown', message } = error as NodeJS.ErrnoException
  return { kind: code, why: describe(code, path) ?? `cannot use ${path}: ${message}` }
}

function describe(code: string, path: string): string | undefined {
  switch (code) {
    case 'ENOSPC':
      return `no space left on ${path}`
    case 'EDQUOT':
      return `the disk quota for ${path} is used up`
    case 'EACCES':
    case 'EPERM':
      return `${path} is not writable for this user (${code})`
    case 'EROFS':
      return `${path} is on a read-only file system`
    case 'ENOENT':
      return `${path} was removed`
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path} is not a directory, or is below a file (${code})`
    case 'EMFILE':
    case 'ENFILE':
      return `cannot open ${path}: too many open files (${code})`
    case 'EIO':
      return `the disk of ${path} reports an error (EIO)`
    default:
      return undefined
  }
}

/** Milliseconds. One slow write may be due to the machine, several in a row are not. */
const SLOW = 50
const SLOW_IN_A_ROW = 3
/** Milliseconds. Too long for the caller, for any reason. */
const FAR_TOO_SLOW = 500

/** Tells a slow disk from a single slow write. */
export class SlowWrites {
  #inARow = 0

  /**
   * @param took the duration of a write in milliseconds
   * @returns true when the disk should not be used for a while
   */
  isDiskSlow(took: number): boolean {
    if (took < SLOW) {
      this.#inARow = 0
      return false
    }
    this.#inARow++
    if (took < FAR_TOO_SLOW && this.#inARow < SLOW_IN_A_ROW) return false
    this.#inARow = 0
    return true
  }
}
