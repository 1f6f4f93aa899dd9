import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { after, wallClock } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { isProcessRunning, thisProcess } from '../system/process-identity.ts'

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
    return holder.bootId === here.bootId && isProcessRunning({ pid: holder.pid, start: holder.startTicks })
  }
  const untouched = wallClock().getTime() - touchedAt
  if (untouched > LOCK_STALE) return false
  const held = wallClock().getTime() - Date.parse(holder.since)
  // A holder that has only just started may not listen yet.
  if (sameKernel && held > LOCK_STALE) return await answers(controlSocket)
  return true
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
