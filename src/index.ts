/** The toolkit: what an app imports. Everything here also works in an app that does not run under Punctual; `allowBlocking` to no effect. */

export { type Batch, type BatchOptions, batch, type Loaded, type MissingOption } from './batch/batch.ts'
export { type BatchResultDetails, BatchResultError } from './batch/batch-values.ts'
export type { CacheEvent, CacheEventType } from './cache/cache-events.ts'
export type { CacheCodec } from './cache/codec.ts'
export { type ReadThrough, readThrough } from './cache/read-through.ts'
export type { CacheKey, CacheRedisOptions, GetOptions, ReadThroughOptions } from './cache/read-through-options.ts'
export type { RedisClient } from './cache/redis/redis-client.ts'
export { CacheValueError } from './cache/value-error.ts'
export {
  ConnectionLostError,
  DatabaseTimeoutError,
  QueryTimeoutError,
  type TimedOutBy,
} from './database/query-errors.ts'
export { withQueryTimeout } from './database/query-timeout.ts'
export type { CacheCounts, CacheRedisReport, CacheReport } from './diagnostics/modules/cache-report.ts'
export type { DropReason, QueueJobsReport, QueueReport, QueueState } from './diagnostics/modules/defer-report.ts'
export type { ErrorCode } from './errors/codes.ts'
export { InvalidOptionError } from './errors/invalid-option-error.ts'
export { PunctualError } from './errors/punctual-error.ts'
export { type CurrentRequest, currentRequest } from './http/current-request.ts'
export type { ConnectionNeeds, ConnectionShortage } from './postgres/connection-needs.ts'
export { guardPool, poolHealth } from './postgres/guard-pool.ts'
export type { PgPool } from './postgres/pg-shape.ts'
export { AcquireTimeoutError, ConnectTimeoutError } from './postgres/pool-errors.ts'
export type { BorrowFacts, DestroyReason, PoolEvent, PoolEventDetails, PoolEventType } from './postgres/pool-events.ts'
export type { HealthLevel, PoolCounts, PoolHealth } from './postgres/pool-health.ts'
export type { GuardOptions, ServerLimit } from './postgres/pool-options.ts'
export { allowRepeatedQueries } from './query-insight/allow-repeated-queries.ts'
export {
  type ExpectedQueries,
  expectNoRepeats,
  expectQueries,
  type RepeatOptions,
} from './query-insight/expect-queries.ts'
export { TooManyQueriesError } from './query-insight/query-budget-error.ts'
export type { QueueContext, QueueHandler } from './queue/call-handler.ts'
export { type DurableQueue, durableQueue, queueConcurrency } from './queue/defer.ts'
export type { QueueEvent, QueueEventType } from './queue/defer-events.ts'
export type { Durability, DurableQueueOptions, OnFull, Size } from './queue/defer-options.ts'
export type { PushResult } from './queue/defer-queue.ts'
export { type GraphileWorkerOptions, graphileWorker } from './queue/graphile/graphile-worker.ts'
export { PermanentError } from './queue/permanent-error.ts'
export type { QueueTransport } from './queue/via.ts'
export { abandonedOperations } from './resilience/abandoned.ts'
export {
  type AbortReason,
  ClientDisconnectedError,
  DeadlineExceededError,
  isAbortReason,
  isTimeout,
  ShedError,
  ShutdownError,
  SupersededError,
  WaitTimeoutError,
} from './resilience/abort-reason.ts'
export type { Jitter } from './resilience/back-off.ts'
export { type Breaker, BreakerOpenError, type BreakerOptions, type BreakerTrip, breaker } from './resilience/breaker.ts'
export { type Bulkhead, BulkheadFullError, type BulkheadOptions, bulkhead } from './resilience/bulkhead.ts'
export type { Deadline } from './resilience/deadline.ts'
export type { Milliseconds } from './resilience/duration.ts'
export {
  type Answer,
  type AskOptions,
  type FallbackChain,
  type FallbackChainOptions,
  fallbackChain,
} from './resilience/fallback-chain.ts'
export type { Duration } from './resilience/limit.ts'
export { ManualClock } from './resilience/manual-clock.ts'
export { type Retry, type RetryOptions, retry } from './resilience/retry.ts'
export type { RetryBudgetOptions } from './resilience/retry-budget.ts'
export { singleton } from './resilience/singleton.ts'
export type { TimerWheel } from './resilience/timer-wheel.ts'
export type { WaitContext } from './resilience/wait-node.ts'
export { currentWaits, type Surroundings, type WaitScope } from './resilience/wait-scope.ts'
export type { WaitOutcome, WaitRecord, Waits } from './resilience/waits.ts'
export { type WithDeadlineOptions, withDeadline } from './resilience/with-deadline.ts'
export { type WithFallbackOptions, withFallback } from './resilience/with-fallback.ts'
export { type WithTimeoutOptions, withTimeout } from './resilience/with-timeout.ts'
export { deferRoutes, type Handler } from './routes/defer-handler.ts'
export type { DeferralEvent, DeferralOptions } from './routes/deferral-options.ts'
export { type LazyOptions, lazy } from './routes/lazy.ts'
export { RoutesFailedError, RoutesNotLoadedError } from './routes/routes-errors.ts'
export { type RuntimeTimeoutOptions, runtimeTimeout } from './runtime/runtime-timeout.ts'
export { type RuntimeValue, type RuntimeValueOptions, runtimeValue } from './runtime/runtime-value.ts'
export { defineConfig, type PunctualConfig } from './settings/define-config.ts'
export type { BackupConfig, ReleaseContext, ReleaseStep } from './settings/release-config.ts'
export { openSqlite, sqliteHealth } from './sqlite/open-sqlite.ts'
export type {
  SqliteChanges,
  SqliteDatabase,
  SqliteQueries,
  SqliteTransactionOptions,
} from './sqlite/sqlite-database.ts'
export { type KyselyParts, type KyselySqliteDialect, sqliteDialect } from './sqlite/sqlite-dialect.ts'
export {
  type CarriedOut,
  SqliteError,
  TransactionTimeoutError,
  WriteTimeoutError,
} from './sqlite/sqlite-errors.ts'
export type { SqliteEvent, SqliteEventType } from './sqlite/sqlite-events.ts'
export type { LaneHealth, SqliteCounts, SqliteHealth } from './sqlite/sqlite-health.ts'
export type { SqliteOptions } from './sqlite/sqlite-options.ts'
export type { SqliteInput, SqliteParameters, SqliteRow, SqliteValue } from './sqlite/sqlite-values.ts'
export type { Synchronous, TransactionMode } from './sqlite/thread-protocol.ts'
export { allowBlocking } from './worker/allow-blocking.ts'
