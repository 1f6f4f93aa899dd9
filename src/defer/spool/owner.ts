import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { crc32 } from 'node:zlib'

/** `<host>-<pid>-<start of the process>.<machine>`; a host name may have dashes itself. */
const FORM = /^(.+)-(\d+)-(\d+)\.([0-9a-f]{8})$/
const PS_LIMIT = 2_000

let ours: string | undefined

/**
 * Who writes in this process, as the name of a directory: host, pid, when the process started (so that a pid that is used again is somebody else), and a mark of the
 * machine: a pid means nothing after a reboot or in another container.
 */
export function thisOwner(): string {
  ours ??= `${host()}-${process.pid}-${startOf(process.pid) ?? 0}.${machine()}`
  return ours
}

export function isOwnerName(name: string): boolean {
  return FORM.test(name)
}

/** Whether the owner belongs to the process table that this process sees; of another only its last sign of life is known. */
export function isOfThisMachine(owner: string): boolean {
  return FORM.exec(owner)?.[4] === machine()
}

/**
 * Whether the process that is this owner runs. One that another machine or container names is taken for dead: `adopt` looks for a sign of life of it.
 */
export function isOwnerAlive(owner: string): boolean {
  if (owner === thisOwner()) return true
  const [, , pidText = '', start = ''] = FORM.exec(owner) ?? []
  if (!isOfThisMachine(owner)) return false
  const pid = Number(pidText)
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, and is another user's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const started = startOf(pid)
  return started !== null && (started === Number(start) || start === '0')
}

function host(): string {
  return (
    hostname()
      .replaceAll(/[^\w.-]/g, '_')
      .slice(0, 64) || 'localhost'
  )
}

let mark: string | undefined

function machine(): string {
  mark ??= crc32(`${hostname()}\n${text('/proc/sys/kernel/random/boot_id')}\n${link('/proc/self/ns/pid')}`)
    .toString(16)
    .padStart(8, '0')
  return mark
}

/** When a process started: on Linux in clock ticks since boot, elsewhere in seconds of the epoch. Null when there is none. */
function startOf(pid: number): number | null {
  return process.platform === 'linux' ? startTicks(pid) : startSeconds(pid)
}

/** Field 22 of `/proc/<pid>/stat`; the name before it may hold anything, parentheses included. */
function startTicks(pid: number): number | null {
  const stat = text(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // A zombie has gone, whatever the process table says.
  if (stat === '' || fields[0] === 'Z' || fields[0] === 'X') return null
  const ticks = Number(fields[19])
  return Number.isSafeInteger(ticks) ? ticks : null
}

function startSeconds(pid: number): number | null {
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'latin1',
      timeout: PS_LIMIT,
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
    })
    const time = Date.parse(`${started.trim()} UTC`)
    return Number.isNaN(time) ? null : Math.floor(time / 1_000)
  } catch {
    return null
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
