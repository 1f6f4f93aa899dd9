import { isDeepStrictEqual } from 'node:util'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { monotonicNow, pause } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { ReleaseError } from '../release-error.ts'

/**
 * The lock that one release of an app holds at a time. It belongs to a session or a process, and is
 * released when that is killed.
 */
export interface ReleaseLock {
  /** `PostgreSQL db.internal:5432/app`, for messages. */
  readonly where: string
  /** Aborted, with the reason, when the acquired lock is lost. */
  readonly lost: AbortSignal
  /** Acquires the lock if it is free. */
  tryAcquire(): Promise<boolean>
  /** The holder; null if unknown. */
  holder(): Promise<LockHolder | null>
  /** Releases the lock. Never rejects. */
  close(): Promise<void>
}

export interface AcquireOptions {
  readonly timeout: Milliseconds
  readonly signal: AbortSignal
  /** Called when waiting starts, and when the holder changes. */
  readonly onWait: (holder: LockHolder | null) => void
  /** Called when the database cannot be reached any more; waiting goes on. */
  readonly onUnavailable?: (error: unknown) => void
}

/** The connection was lost while the lock was waited for, as at a restart of the database. */
export class LockUnavailableError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/**
 * Formats `web-2 (pid 71, since 2026-11-22T07:00:00.000Z)`; in PostgreSQL with the server process.
 */
export function formatHolder(holder: LockHolder | null): string {
  if (holder === null) return 'an unknown process'
  const { host, pid, serverPid, since } = holder
  const facts = [
    pid === null ? '' : `pid ${pid}`,
    serverPid === null ? '' : `server process ${serverPid}`,
    since === null ? '' : `${serverPid === null ? '' : 'connected '}since ${since}`,
  ].filter((part) => part !== '')
  return `${host ?? 'a session'}${facts.length === 0 ? '' : ` (${facts.join(', ')})`}`
}

const RETRY_INTERVAL = ms(250)
/** Finding the holder costs a query, and is only shown to people. */
const TRIES_PER_HOLDER_QUERY = 8

/**
 * Acquires the lock, polling until it is free. A database could queue the request instead, but that
 * would keep a transaction open there.
 *
 * @throws ReleaseError with the holder after the timeout; the reason of `signal` when it is aborted
 */
export async function acquireLock(lock: ReleaseLock, options: AcquireOptions): Promise<void> {
  const { timeout, signal, onWait, onUnavailable } = options
  const end = monotonicNow() + timeout
  let reported: LockHolder | null | undefined
  let unavailable: LockUnavailableError | null = null
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted()
    try {
      if (await lock.tryAcquire()) return
      if (unavailable !== null || tries % TRIES_PER_HOLDER_QUERY === 0) {
        const holder = await lock.holder()
        if (!isDeepStrictEqual(holder, reported)) onWait(holder)
        reported = holder
      }
      unavailable = null
    } catch (error) {
      if (!(error instanceof LockUnavailableError)) throw error
      if (unavailable === null) onUnavailable?.(error)
      unavailable = error
    }
    if (monotonicNow() > end) throw timeoutError(lock, formatElapsed(timeout), reported ?? null, unavailable)
    await pause(RETRY_INTERVAL)
  }
}

function timeoutError(
  lock: ReleaseLock,
  timeout: string,
  holder: LockHolder | null,
  unavailable: LockUnavailableError | null,
): ReleaseError {
  const front = `could not acquire the release lock in ${lock.where} within ${timeout}`
  if (unavailable !== null) {
    return new ReleaseError(
      `${front}: ${unavailable.message}; check that the database is running`,
      { phase: 'lock', reason: 'unreachable' },
      { cause: unavailable },
    )
  }
  return new ReleaseError(`${front}: it is held by ${formatHolder(holder)}; wait for that release, or stop it`, {
    phase: 'lock',
    reason: 'held',
    holder,
  })
}
