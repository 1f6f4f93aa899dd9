import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { wallClock } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { isProcessRunning, thisProcess } from '../system/process-identity.ts'

/** How often a holder updates the time of its lock. */
export const LOCK_TOUCH: Milliseconds = ms(5_000)
/** A lock of another machine that was not updated for this long is stale. */
export const LOCK_STALE: Milliseconds = ms(15_000)
const CONNECT_TIMEOUT = ms(1_000)

/** The holder of a lock, as recorded in its file. What the system does not report is null. */
export interface LockHolder {
  /** Unique to this acquisition of the lock. */
  readonly token: string
  readonly pid: number
  /** Start of the process; a later process with the same pid has another. */
  readonly startTicks: number | null
  readonly bootId: string | null
  /** Identifies the container: a pid has no meaning in another. */
  readonly pidNamespace: string | null
  readonly hostname: string
  /** In ISO 8601. */
  readonly since: string
}

/** This process, with a new token. */
export function thisHolder(): LockHolder {
  const { pid, start, bootId, pidNamespace, hostname } = thisProcess()
  return {
    token: randomUUID(),
    pid,
    startTicks: start,
    bootId,
    pidNamespace,
    hostname,
    since: wallClock().toISOString(),
  }
}

/** Parses a lock file; null if it is damaged (a power failure can leave an empty file). */
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
 * Whether the holder of a lock still runs. In the same container the process table is used, in
 * another container of the same kernel the control socket, and on another machine the age of the
 * lock is. `unknown`: it runs if it updates the lock within `LOCK_STALE`.
 */
export async function isAlive(
  holder: LockHolder,
  touchedAt: number,
  controlSocket: string,
): Promise<boolean | 'unknown'> {
  const here = thisProcess()
  const sameKernel = holder.bootId !== null && holder.bootId === here.bootId
  if (holder.hostname === here.hostname && holder.pidNamespace === here.pidNamespace) {
    return holder.bootId === here.bootId && isProcessRunning({ pid: holder.pid, start: holder.startTicks })
  }
  const untouched = wallClock().getTime() - touchedAt
  if (untouched > LOCK_STALE) return false
  const held = wallClock().getTime() - Date.parse(holder.since)
  if (!sameKernel) return 'unknown'
  if (await acceptsConnections(controlSocket)) return true
  // A holder that has just started may not listen yet.
  return held > LOCK_STALE ? false : 'unknown'
}

/** A socket that neither accepts nor refuses in time has a busy owner. */
async function acceptsConnections(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath)
  const start = (resolve: (accepts: boolean) => void): void => {
    socket.once('connect', () => resolve(true))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
  }
  const accepts = await promiseAtMost(CONNECT_TIMEOUT, start, () => true)
  socket.destroy()
  return accepts
}
