import { formatElapsed } from '../resilience/duration.ts'

export type HealthLevel = 'HEALTHY' | 'NORMAL' | 'WARNING' | 'CRITICAL'

/** A pool at one moment. */
export interface PoolHealth {
  readonly name: string
  readonly level: HealthLevel
  /** Open connections. */
  readonly total: number
  /** Borrowed, or being cleaned before they go back. */
  readonly active: number
  readonly idle: number
  /** Who waits for a connection. */
  readonly waiting: number
  readonly maximum: number
  /** Active of maximum, 0 to 1. */
  readonly utilisation: number
  /** Milliseconds; 0 when nobody waits. */
  readonly longestWait: number
  /** The connection that has been borrowed for the longest time. */
  readonly oldestBorrow: { readonly by: string /** Milliseconds. */; readonly age: number } | null
  /** Since the pool was guarded. */
  readonly counts: PoolCounts
}

export interface PoolCounts {
  /** Waits that ran out of their limit, for a connection or for an answer. */
  readonly timedOut: number
  /** Waits that were given up for another reason: the client went away, a shutdown. */
  readonly aborted: number
  /** Cancel requests sent. */
  readonly cancels: number
  /** Connections destroyed because nobody could tell what state they were in. */
  readonly destroyed: number
  /** Borrows beyond `leakThreshold`. */
  readonly leaks: number
}

const NORMAL_FROM = 0.5
const WARNING_FROM = 0.8
const CRITICAL_FROM = 0.95
/** Milliseconds. Somebody who waits longer than this for a connection is in trouble, whatever the utilisation says. */
const LONGEST_PATIENCE = 1_000

/** HEALTHY < 50 % ≤ NORMAL < 80 % ≤ WARNING < 95 % ≤ CRITICAL; also CRITICAL when somebody has waited for more than 1 s. */
export function healthLevel(utilisation: number, longestWait: number): HealthLevel {
  if (utilisation >= CRITICAL_FROM || longestWait > LONGEST_PATIENCE) return 'CRITICAL'
  if (utilisation >= WARNING_FROM) return 'WARNING'
  return utilisation >= NORMAL_FROM ? 'NORMAL' : 'HEALTHY'
}

/** `pool main CRITICAL: 19 of 20 active (95 %), 1 idle, 20 total, 4 waiting for up to 1.2 s; oldest borrow 31.0 s by auth (…)` */
export function healthLine(health: PoolHealth): string {
  const { name, level, active, maximum, utilisation, idle, total, waiting, longestWait, oldestBorrow } = health
  const queue = waiting === 0 ? '0 waiting' : `${waiting} waiting for up to ${formatElapsed(longestWait)}`
  const oldest = oldestBorrow === null ? '' : `; oldest borrow ${formatElapsed(oldestBorrow.age)} by ${oldestBorrow.by}`
  return `pool ${name} ${level}: ${active} of ${maximum} active (${Math.round(utilisation * 100)} %), ${idle} idle, ${total} total, ${queue}${oldest}`
}
