import { readdirSync, readFileSync } from 'node:fs'

export interface LeftProcess {
  readonly pid: number
  readonly command: string
}

/** Processes, other than this one, whose environment holds `marker` (`NAME=value`): they descend from whoever set it. Linux only. */
export function processesWith(marker: string): readonly LeftProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .flatMap((entry) => {
      const environment = read(`/proc/${entry}/environ`)?.split('\0')
      if (environment === undefined || !environment.includes(marker)) return []
      const command = read(`/proc/${entry}/cmdline`)?.replaceAll('\0', ' ').trim() ?? ''
      // A zombie has no command line any more; it has ended, and only waits to be reaped.
      return command === '' ? [] : [{ pid: Number(entry), command }]
    })
}

/** A process may end, or belong to somebody else, while it is looked at. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
