import type { LockHolder } from '../../diagnostics/release-report.ts'
import type { Milliseconds } from '../../resilience/duration.ts'

/** Of all that release one app, one at a time. It is a session's or a process's: whoever is killed has given it up. */
export interface ReleaseLock {
  /** `PostgreSQL db.internal:5432/app`, for messages. */
  readonly where: string
  /** Aborted, with the reason, once the lock that was taken is ours no more. */
  readonly lost: AbortSignal
  /** Takes it if nobody has it. */
  tryTake(): Promise<boolean>
  /** Who has it; null where that cannot be seen. */
  holder(): Promise<LockHolder | null>
  /** Gives it up. Never rejects. */
  close(): Promise<void>
}

export interface TakeOptions {
  readonly limit: Milliseconds
  readonly signal: AbortSignal
  /** Told who is waited for, whenever that changes. */
  readonly onWait: (holder: LockHolder | null) => void
}

/** `web-2 (pid 71, since 2026-11-22T07:00:00.000Z)`; on PostgreSQL `web-2 (pid 71, server process 913, connected since …)`. */
export function tellHolder(holder: LockHolder | null): string {
  if (holder === null) return 'somebody unknown'
  const { host, pid, serverPid, since } = holder
  const told = [
    pid === null ? '' : `pid ${pid}`,
    serverPid === null ? '' : `server process ${serverPid}`,
    since === null ? '' : `${serverPid === null ? '' : 'connected '}since ${since}`,
  ].filter((part) => part !== '')
  return `${host ?? 'a session'}${told.length === 0 ? '' : ` (${told.join(', ')})`}`
}
