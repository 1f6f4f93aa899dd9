import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Milliseconds } from '../../../src/resilience/duration.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { startOf } from '../../../src/system/process-identity.ts'
import { waitUntil } from './wait-until.ts'

/** Distinguishes a process from a later one with the same pid. Undefined if it does not run. */
export function identifyProcess(pid: number): string | undefined {
  const start = startOf(pid)
  return start === null ? undefined : `${pid}@${start}`
}

/** Returns the command line of a process; empty if it does not run. */
export function commandLine(pid: number): string {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
  } catch {
    return ''
  }
}

/** Sends signals until the process exits within the timeout of one. Returns whether it did. */
export async function endProcess(
  pid: number,
  signals: readonly { readonly signal: NodeJS.Signals; readonly timeout: Milliseconds }[],
): Promise<boolean> {
  const identity = identifyProcess(pid)
  if (identity === undefined) return true
  for (const { signal, timeout } of signals) {
    try {
      process.kill(pid, signal)
    } catch {
      // It exited meanwhile.
    }
    if (await waitUntil(() => identifyProcess(pid) !== identity, timeout, ms(25))) return true
  }
  return false
}
