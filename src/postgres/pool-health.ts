import { formatElapsed } from '../resilience/duration.ts'
import type { ConnectionShortage } from './connection-capacity.ts'

export type HealthLevel = 'HEALTHY' | 'NORMAL' | 'WARNING' | 'CRITICAL'

/** A snapshot of a pool. */
export interface PoolHealth {
  readonly name: string
  readonly level: HealthLevel
  /** Open connections. */
  readonly total: number
  /** Connections that are checked out, or are cleaned up before they return to the pool. */
  readonly active: number
  readonly idle: number
  /** Callers that wait for a connection. */
  readonly waiting: number
  readonly maximum: number
  /** `active` divided by `maximum`, 0 to 1. */
  readonly utilisation: number
  /** How long the first caller in the queue has waited, in milliseconds; 0 without one. */
  readonly longestWait: number
  /** The connection that has been checked out for the longest time. */
  readonly oldestCheckout: {
    /** The operation, if it has a name, and the place in the app. */
    readonly by: string
    /** Milliseconds. */
    readonly age: number
  } | null
  /** Counts since `guardPool`. */
  readonly counts: PoolCounts
}

export interface PoolCounts {
  /** Waits for a connection or a query that timed out. */
  readonly timedOut: number
  /** Waits that ended for another reason: the client disconnected, the server shut down. */
  readonly aborted: number
  /** Cancel requests that were sent. */
  readonly cancels: number
  /** Connections that were destroyed because their state was unknown. */
  readonly destroyed: number
  /** Connections that were checked out for longer than `leakThreshold`. */
  readonly leaks: number
}

const NORMAL_FROM = 0.5
const WARNING_FROM = 0.8
const CRITICAL_FROM = 0.95
/** A longer wait for a connection is critical at any utilization; milliseconds. */
const CRITICAL_WAIT = 1_000

/**
 * Returns the level of a utilization and a wait: HEALTHY below 50 %, NORMAL below 80 %, WARNING
 * below 95 %, else CRITICAL; CRITICAL also when a caller has waited for more than 1 s.
 */
export function healthLevel(utilisation: number, longestWait: number): HealthLevel {
  if (utilisation >= CRITICAL_FROM || longestWait > CRITICAL_WAIT) return 'CRITICAL'
  if (utilisation >= WARNING_FROM) return 'WARNING'
  return utilisation >= NORMAL_FROM ? 'NORMAL' : 'HEALTHY'
}

/**
 * Formats a snapshot: `pool main CRITICAL: 19 of 20 active (95 %), 1 idle, …; oldest checkout 31.0
 * s by auth (…)`.
 */
export function formatHealth(health: PoolHealth): string {
  const { name, level, active, maximum, utilisation, idle, total, waiting, longestWait, oldestCheckout } = health
  const queue = waiting === 0 ? '0 waiting' : `${waiting} waiting for up to ${formatElapsed(longestWait)}`
  const oldest =
    oldestCheckout === null ? '' : `; oldest checkout ${formatElapsed(oldestCheckout.age)} by ${oldestCheckout.by}`
  const inUse = `${active} of ${maximum} active (${Math.round(utilisation * 100)} %)`
  return `pool ${name} ${level}: ${inUse}, ${idle} idle, ${total} total, ${queue}${oldest}`
}

/**
 * The events of a pool.
 *
 * - `level`: the level has changed, or has not been HEALTHY for another minute.
 * - `leak`: a connection has been checked out for longer than `leakThreshold`.
 * - `reclaimed`: a connection was checked out for longer than `reclaimTimeout` and was destroyed.
 * - `destroyed`: a connection was destroyed because its state was unknown.
 * - `rolled-back`: a connection was returned inside a transaction, which is rolled back.
 * - `lost`: the server or the network closed an idle connection.
 * - `no-statement-timeout`: the database has no timeout for statements outside a transaction.
 * - `connections`: the server has fewer connections than all workers may need.
 */
export type PoolEventType = keyof PoolEventDetails

/** The facts of each event, in addition to `health`. */
export interface PoolEventDetails {
  readonly level: Readonly<Record<never, never>>
  readonly leak: CheckoutFacts
  readonly reclaimed: CheckoutFacts
  readonly destroyed: { readonly reason: DestroyReason }
  readonly 'rolled-back': { readonly borrower: string }
  /** The message of the driver's error. */
  readonly lost: { readonly error: string }
  /** The `statement_timeout` to set in the database. */
  readonly 'no-statement-timeout': { readonly statementTimeout: string }
  readonly connections: ConnectionShortage
}

export interface CheckoutFacts {
  /** The operation, if it has a name, and the place in the app. */
  readonly borrower: string
  readonly heldForMs: number
}

/**
 * Why a connection was destroyed.
 *
 * - `cancel-timed-out`: a cancelled query did not end within `cancelTimeout`.
 * - `cancel-in-doubt`: a cancel request may still reach the server.
 * - `no-cancel-key`: the server sent no key for cancel requests.
 * - `cursor-open`: a cursor was given up while it was open.
 * - `no-answer`: a statement of the guard timed out.
 * - `clean-up-failed`: a statement of the guard failed.
 * - `transaction-not-failed`: an incomplete transaction could not be made to fail.
 * - `session-changed`: a query was given up after the session was changed, e.g. by `set role`, and
 *   its borrower has not cleaned up since.
 * - `reclaimed`: the connection was checked out for longer than `reclaimTimeout`.
 */
export type DestroyReason =
  | 'cancel-timed-out'
  | 'cancel-in-doubt'
  | 'no-cancel-key'
  | 'cursor-open'
  | 'no-answer'
  | 'clean-up-failed'
  | 'transaction-not-failed'
  | 'session-changed'
  | 'reclaimed'

interface PoolEventOf<Type extends PoolEventType> {
  readonly type: Type
  readonly severity: 'info' | 'warn' | 'error'
  readonly pool: string
  /** A sentence for the log. */
  readonly message: string
  readonly details: PoolEventDetails[Type]
  readonly health: PoolHealth
}

export type PoolEvent = { [Type in PoolEventType]: PoolEventOf<Type> }[PoolEventType]

/** Sends an event of a pool to its `onEvent`. */
export type SendPoolEvent = <Type extends PoolEventType>(
  type: Type,
  severity: PoolEvent['severity'],
  message: string,
  details: PoolEventDetails[Type],
) => void
