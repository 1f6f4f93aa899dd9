import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Milliseconds } from '../../../src/resilience/duration.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { waitUntil } from './wait-until.ts'

/**
 * Tells one process from a later one with the same pid: pid and time of start. Undefined when no such process runs; a
 * zombie (ended, but not yet fetched by its parent) does not run.
 */
export function identifyProcess(pid: number): string | undefined {
  if (process.platform !== 'linux') return identifyWithPs(pid)
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in brackets, may hold spaces: read behind the last bracket. Then 1 is the state, 20 the time of start.
    const fields = stat.slice(stat.lastIndexOf(')') + 1).split(' ')
    return fields[1] === 'Z' || fields[1] === 'X' ? undefined : `${pid}@${fields[20]}`
  } catch {
    return undefined
  }
}

/** The command line of a process, empty when it does not run. */
export function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
  } catch {
    return ''
  }
}

/** Sends each signal in turn and gives the process `limit` to end after it. False: it still runs. */
export async function endProcess(
  pid: number,
  steps: readonly { readonly signal: NodeJS.Signals; readonly limit: Milliseconds }[],
): Promise<boolean> {
  const identity = identifyProcess(pid)
  if (identity === undefined) return true
  for (const { signal, limit } of steps) {
    try {
      process.kill(pid, signal)
    } catch {
      // It ended in the meantime; the wait sees it.
    }
    if (await waitUntil(() => identifyProcess(pid) !== identity, limit, ms(25))) return true
  }
  return false
}

function identifyWithPs(pid: number): string | undefined {
  try {
    const [state = 'Z', ...started] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
    })
      .trim()
      .split(/\s+/)
    return state.startsWith('Z') ? undefined : `${pid}@${started.join('-')}`
  } catch {
    return undefined
  }
}
