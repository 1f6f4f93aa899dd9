import type { ConnectionShortage } from './connection-needs.ts'
import type { PoolHealth } from './pool-health.ts'

/**
 * What a pool has to say. `level`: its level has changed, or it is not HEALTHY for another minute. `leak`: a borrow beyond `leakThreshold`.
 * `reclaimed`: one beyond `reclaimTimeout`, whose connection was destroyed. `destroyed`: a connection in doubt. `rolled-back`: a connection came
 * back inside a transaction. `lost`: the server or the network ended a connection. `no-server-limit`: the database itself ends no statement.
 * `connections`: the server has fewer connections than all workers may come to need.
 */
export type PoolEventType = keyof PoolEventDetails

/** The facts of each kind of event. What all have in common is in `health`. */
export interface PoolEventDetails {
  readonly level: Readonly<Record<never, never>>
  readonly leak: BorrowFacts
  readonly reclaimed: BorrowFacts
  readonly destroyed: { readonly reason: DestroyReason }
  readonly 'rolled-back': { readonly borrower: string }
  /** The message of the error that the driver gave. */
  readonly lost: { readonly error: string }
  /** What to set `statement_timeout` to, as PostgreSQL reads it. */
  readonly 'no-server-limit': { readonly statementTimeout: string }
  readonly connections: ConnectionShortage
}

export interface BorrowFacts {
  /** The operation, if it has a name, and the place in the app. */
  readonly borrower: string
  readonly heldForMs: number
}

/**
 * Why a connection was destroyed. `cancel-timed-out`: a cancelled query did not end within `cancelTimeout`. `cancel-in-doubt`: a cancel may still be on its way.
 * `no-cancel-key`: the server gave no key to cancel with. `cursor-open`: a cursor whose reader waits no more. `no-answer`: a statement of Punctual's own was not
 * answered in time. `clean-up-failed`: one was refused. `transaction-not-failed`: a transaction that lacks a statement could not be failed. `reclaimed`: see the event.
 */
export type DestroyReason =
  | 'cancel-timed-out'
  | 'cancel-in-doubt'
  | 'no-cancel-key'
  | 'cursor-open'
  | 'no-answer'
  | 'clean-up-failed'
  | 'transaction-not-failed'
  | 'reclaimed'

interface PoolEventOf<Type extends PoolEventType> {
  readonly type: Type
  readonly severity: 'info' | 'warn' | 'error'
  readonly pool: string
  /** A whole sentence, ready for the log. */
  readonly message: string
  /** The facts of the message. */
  readonly details: PoolEventDetails[Type]
  readonly health: PoolHealth
}

export type PoolEvent = { [Type in PoolEventType]: PoolEventOf<Type> }[PoolEventType]

/** How a part of a pool tells of something. */
export type TellPoolEvent = <Type extends PoolEventType>(
  type: Type,
  severity: PoolEvent['severity'],
  message: string,
  details: PoolEventDetails[Type],
) => void

/** Standard error for trouble, standard output for the rest: for an app that has not said where its log is. */
export function tellConsole(event: PoolEvent): void {
  console[event.severity](event.message)
}
