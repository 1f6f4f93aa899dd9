import type { Milliseconds } from '../../wait/duration.ts'

/** Of all that release one app, one at a time. It is a session's or a process's: whoever is killed has given it up. */
export interface ReleaseLock {
  /** `PostgreSQL db.internal:5432/app`, for messages. */
  readonly where: string
  /** Aborted, with the reason, once the lock that was taken is ours no more. */
  readonly lost: AbortSignal
  /** Takes it if nobody has it. */
  tryTake(): Promise<boolean>
  /** Who has it, as far as can be seen: `web-2 (pid 71), since 2026-11-22T07:00:00.000Z`; null if nobody knows. */
  holder(): Promise<string | null>
  /** Gives it up. Never rejects. */
  close(): Promise<void>
}

export interface TakeOptions {
  readonly limit: Milliseconds
  readonly signal: AbortSignal
  /** Told who is waited for, whenever that changes. */
  readonly onWait: (holder: string | null) => void
}
