import { isDeepStrictEqual } from 'node:util'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { monotonicNow, pause } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { ReleaseError } from '../release-error.ts'

/** Of all that release one app, one at a time. It is a session's or a process's: whoever is killed has given it up. */
export interface ReleaseLock {
  /** `PostgreSQL db.internal:5432/app`, for messages. */
  readonly where: string
  /** Aborted, with the reason, once the lock that was taken is ours no more. */
  readonly lost: AbortSignal
  /** Takes it if nobody has it. */
  tryAcquire(): Promise<boolean>
  /** Who has it; null where that cannot be seen. */
  holder(): Promise<LockHolder | null>
  /** Gives it up. Never rejects. */
  close(): Promise<void>
}

export interface AcquireOptions {
  readonly limit: Milliseconds
  readonly signal: AbortSignal
  /** Told who is waited for, whenever that changes. */
  readonly onWait: (holder: LockHolder | null) => void
}

/** `web-2 (pid 71, since 2026-11-22T07:00:00.000Z)`; on PostgreSQL `web-2 (pid 71, server process 913, connected since …)`. */
export function formatHolder(holder: LockHolder | null): string {
  if (holder === null) return 'somebody unknown'
  const { host, pid, serverPid, since } = holder
  const told = [
    pid === null ? '' : `pid ${pid}`,
    serverPid === null ? '' : `server process ${serverPid}`,
    since === null ? '' : `${serverPid === null ? '' : 'connected '}since ${since}`,
  ].filter((part) => part !== '')
  return `${host ?? 'a session'}${told.length === 0 ? '' : ` (${told.join(', ')})`}`
}

const BETWEEN_TRIES = ms(250)
/** Asking who holds it costs a query; the answer is for people. */
const TRIES_PER_LOOK = 8

/**
 * Takes the lock, and asks again for as long as somebody has it. It is polled, not queued for: who waits in the queue of a database keeps a
 * transaction open there.
 *
 * @throws ReleaseError that names the holder when the limit has passed; the signal's reason when it is aborted
 */
export async function acquireLock(lock: ReleaseLock, { limit, signal, onWait }: AcquireOptions): Promise<void> {
  const end = monotonicNow() + limit
  let told: LockHolder | null | undefined
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted()
    if (await lock.tryAcquire()) return
    if (tries % TRIES_PER_LOOK === 0) {
      const holder = await lock.holder()
      if (!isDeepStrictEqual(holder, told)) onWait(holder)
      told = holder
    }
    if (monotonicNow() > end) {
      const holder = told ?? null
      throw new ReleaseError(
        `the release lock in ${lock.where} was not to be had within ${formatElapsed(limit)}: it is held by ${formatHolder(holder)}; wait for that release, or end it`,
        { phase: 'lock', reason: 'held', holder },
      )
    }
    await pause(BETWEEN_TRIES)
  }
}
