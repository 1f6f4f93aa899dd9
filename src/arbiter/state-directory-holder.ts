import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { after, wallClock } from '../wait/clock.ts'
import { type Milliseconds, ms } from '../wait/duration.ts'

/** How often a holder touches its lock. */
export const LOCK_TOUCH: Milliseconds = ms(5_000)
/** A lock of another machine that has not been touched for so long is stale. */
const LOCK_STALE: Milliseconds = ms(15_000)

/** Who holds a lock, as its file says. What the machine cannot tell (no /proc) is null. */
export interface LockHolder {
  /** Unique to this taking of the lock. */
  readonly token: string
  readonly pid: number
  /** Start of the process in clock ticks since the machine booted: a reused pid has another. */
  readonly startTicks: number | null
  readonly bootId: string | null
  /** The container, so to speak: pids of one mean nothing in another. */
  readonly pidNamespace: string | null
  readonly hostname: string
  /** ISO 8601. */
  readonly since: string
}

export function ourselves(): LockHolder {
  return {
    token: randomUUID(),
    pid: process.pid,
    startTicks: startTicks(process.pid),
    bootId: bootId(),
    pidNamespace: pidNamespace(),
    hostname: hostname(),
    since: wallClock().toISOString(),
  }
}

/** The holder in the text of a lock; null for anything else (a power cut can leave a file without its content). */
export function parseHolder(text: string): LockHolder | null {
  try {
    const value = JSON.parse(text) as Partial<LockHolder> | null
    const { token, pid, startTicks = null, bootId = null, pidNamespace = null, hostname, since = '' } = value ?? {}
    if (typeof token !== 'string' || !/^[0-9a-f-]{1,64}$/.test(token)) return null
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0 || typeof hostname !== 'string') return null
    return { token, pid, startTicks, bootId, pidNamespace, hostname, since: String(since) }
  } catch {
    return null
  }
}

/**
 * Whether the holder of a lock still runs. In the same container the process table knows. From another container of the same running
 * kernel its pid means nothing, but its control socket answers or does not. Of another machine only the age of its last touch is known.
 */
export async function isAlive(holder: LockHolder, touchedAt: number, controlSocket: string): Promise<boolean> {
  const here = ourselves()
  const sameKernel = holder.bootId !== null && holder.bootId === here.bootId
  if (holder.hostname === here.hostname && holder.pidNamespace === here.pidNamespace) {
    return holder.bootId === here.bootId && processLives(holder)
  }
  const untouched = wallClock().getTime() - touchedAt
  if (untouched > LOCK_STALE) return false
  const held = wallClock().getTime() - Date.parse(holder.since)
  // A holder that has only just started may not listen yet.
  if (sameKernel && held > LOCK_STALE) return await answers(controlSocket)
  return true
}

function processLives(holder: LockHolder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: it lives, and is another user's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = startTicks(holder.pid)
  return holder.startTicks === null || now === null || now === holder.startTicks
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    const end = (alive: boolean): void => {
      cancel()
      socket.destroy()
      resolve(alive)
    }
    // Nobody refused within the limit: somebody is there, if busy.
    const cancel = after(ms(1_000), () => end(true))
    socket.once('connect', () => end(true))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      end(!(error.code === 'ECONNREFUSED' || error.code === 'ENOENT'))
    })
  })
}

/** Field 22 of `/proc/<pid>/stat`; the name before it may hold anything, parentheses included. */
function startTicks(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie has gone, whatever the process table says.
    const ticks = fields[0] === 'Z' ? -1 : Number(fields[19])
    return Number.isSafeInteger(ticks) ? ticks : null
  } catch {
    return null
  }
}

function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  } catch {
    return null
  }
}

function pidNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return null
  }
}
