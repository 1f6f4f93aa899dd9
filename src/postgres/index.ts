/** `punctual/postgres`: guarded `pg` pools, and the counting of their queries. */
export {
  ConnectionLostError,
  DatabaseTimeoutError,
  QueryTimeoutError,
  type TimedOutBy,
} from '../database/query-errors.ts'
export { withQueryTimeout } from '../database/query-timeout.ts'
export { allowRepeatedQueries } from '../query-insight/allow-repeated-queries.ts'
export { TooManyQueriesError } from '../query-insight/counted-query.ts'
export { AcquireTimeoutError } from './checkout.ts'
export { ConnectTimeoutError } from './connect-timeout.ts'
export type { ConnectionNeeds, ConnectionShortage } from './connection-capacity.ts'
export { guardPool, poolHealth } from './guard-pool.ts'
export type { PgPool } from './pg-types.ts'
export type {
  CheckoutFacts,
  DestroyReason,
  HealthLevel,
  PoolCounts,
  PoolEvent,
  PoolEventDetails,
  PoolEventType,
  PoolHealth,
} from './pool-health.ts'
export type { GuardOptions, StatementTimeoutMode } from './pool-options.ts'
