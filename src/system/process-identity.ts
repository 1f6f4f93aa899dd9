import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Milliseconds that `ps` may take. */
const PS_TIMEOUT = 2_000

/** The identity of a process across pids, reboots, containers and machines. Null is unknown. */
export interface ProcessIdentity {
  readonly pid: number
  /**
   * When it started, which differs from a later process with the same pid: on Linux in clock ticks
   * since boot, elsewhere in seconds of the epoch. For comparison only.
   */
  readonly start: number | null
  readonly hostname: string
  /** A pid is only valid until the next boot. */
  readonly bootId: string | null
  /** In effect the container: a pid is only valid in its own. */
  readonly pidNamespace: string | null
}

export function thisProcess(): ProcessIdentity {
  const { pid } = process
  return { pid, start: startOf(pid), hostname: hostname(), bootId: bootId(), pidNamespace: pidNamespace() }
}

/** Whether the pid of that process can be looked up here: same host, same boot, same container. */
export function isSameProcessTable(
  one: Pick<ProcessIdentity, 'hostname' | 'bootId' | 'pidNamespace'>,
  other: Pick<ProcessIdentity, 'hostname' | 'bootId' | 'pidNamespace'>,
): boolean {
  return one.hostname === other.hostname && one.bootId === other.bootId && one.pidNamespace === other.pidNamespace
}

/**
 * Whether the process that had this pid and this start still runs. A zombie does not: it executes
 * nothing and holds no file, although the process table still has it. If the system does not say
 * (`hidepid`, another user's process), a process with this pid counts as running.
 *
 * @param start as `ProcessIdentity` has it; null where it was not known
 */
export function isProcessRunning({ pid, start }: Pick<ProcessIdentity, 'pid' | 'start'>): boolean {
  const found = look(pid)
  if (found === 'dead') return false
  return found === 'unknown' ? exists(pid) : start === null || found.start === null || found.start === start
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it exists and belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * When a process started, as `ProcessIdentity` has it; null for one that does not run, or of which
 * the system does not say it.
 */
export function startOf(pid: number): number | null {
  const found = look(pid)
  return found === 'dead' || found === 'unknown' ? null : found.start
}

type Look = { readonly start: number | null } | 'dead' | 'unknown'

function look(pid: number): Look {
  return process.platform === 'linux' ? lookInProc(pid) : lookByPs(pid)
}

/**
 * `/proc/<pid>/stat`: the third field is the state, the 22nd the start. The name before them may
 * hold anything, parentheses included.
 */
function lookInProc(pid: number): Look {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === null) return 'unknown'
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return parsed(fields[0] ?? '', Number(fields[19]))
}

function lookByPs(pid: number): Look {
  try {
    const printed = execFileSync('ps', ['-o', 'stat=', '-o', 'lstart=', '-p', String(pid)], {
      encoding: 'latin1',
      timeout: PS_TIMEOUT,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    }).trim()
    const space = printed.indexOf(' ')
    return parsed(printed.slice(0, space), Math.floor(Date.parse(`${printed.slice(space).trim()} UTC`) / 1_000))
  } catch {
    return 'unknown'
  }
}

/** `Z` is a zombie, `X` a process that is being removed. */
function parsed(state: string, start: number): Look {
  if (state.startsWith('Z') || state.startsWith('X')) return 'dead'
  return { start: Number.isSafeInteger(start) ? start : null }
}

function bootId(): string | null {
  return read('/proc/sys/kernel/random/boot_id')?.trim() ?? null
}

function pidNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return null
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}
