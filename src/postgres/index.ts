/** `punctual/postgres`: guarded `pg` pools, and how their queries are counted. */
export {
  ConnectionLostError,
  DatabaseTimeoutError,
  QueryTimeoutError,
  type TimedOutBy,
} from '../database/query-errors.ts'
export { withQueryTimeout } from '../database/query-timeout.ts'
export { allowRepeatedQueries } from '../query-insight/allow-repeated-queries.ts'
export { TooManyQueriesError } from '../query-insight/counted-query.ts'
export type { ConnectionNeeds, ConnectionShortage } from './connection-needs.ts'
export { guardPool, poolHealth } from './guard-pool.ts'
export type { PgPool } from './pg-shape.ts'
export { AcquireTimeoutError, ConnectTimeoutError } from './pool-errors.ts'
export type { BorrowFacts, DestroyReason, PoolEvent, PoolEventDetails, PoolEventType } from './pool-events.ts'
export type { HealthLevel, PoolCounts, PoolHealth } from './pool-health.ts'
export type { GuardOptions, ServerLimit } from './pool-options.ts'
