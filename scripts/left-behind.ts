import { readdirSync, readFileSync } from 'node:fs'

export interface LeftProcess {
  readonly pid: number
  readonly command: string
}

/**
 * Other processes with `marker` (`NAME=value`) in their environment: the descendants of the process
 * that set it. Linux only.
 */
export function processesWith(marker: string): readonly LeftProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((entry) => {
      const environment = read(`/proc/${entry}/environ`)?.split('\0')
      if (environment === undefined || !environment.includes(marker)) return []
      const command = read(`/proc/${entry}/cmdline`)?.replaceAll('\0', ' ').trim() ?? ''
      // A zombie has no command line: it has exited and waits to be reaped.
      return command === '' ? [] : [{ pid: Number(entry), command }]
    })
}

/** A process may exit meanwhile, or belong to another user. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
