/** The toolkit: what an app imports. Everything here also works in an app that does not run under Punctual; `allowBlocking` to no effect. */
export type { CacheEvent, CacheEventType } from './cache/cache-events.ts'
export type { CacheCodec } from './cache/codec.ts'
export { type ReadThrough, readThrough } from './cache/read-through.ts'
export type { CacheKey, CacheRedisOptions, GetOptions, ReadThroughOptions } from './cache/read-through-options.ts'
export type { RedisClient } from './cache/redis/redis-client.ts'
export { CacheValueError } from './cache/value-error.ts'
export { type Batch, type BatchOptions, batch, type Loaded, type MissingOption } from './database/batch.ts'
export { type BatchResultDetails, BatchResultError } from './database/batch-values.ts'
export { guardPool, poolHealth } from './database/guard-pool.ts'
export { singleton } from './database/once.ts'
export type { PgPool } from './database/pg-shape.ts'
export type { BorrowFacts, DestroyReason, PoolEvent, PoolEventDetails, PoolEventType } from './database/pool-events.ts'
export type { HealthLevel, PoolCounts, PoolHealth } from './database/pool-health.ts'
export type { GuardOptions, ServerLimit } from './database/pool-options.ts'
export type { ConnectionNeeds, ConnectionShortage } from './database/queries/connection-needs.ts'
export { allowRepeatedQueries } from './database/queries/deliberately.ts'
export {
  type ExpectedQueries,
  expectNoRepeats,
  expectQueries,
  type RepeatOptions,
} from './database/queries/expect-queries.ts'
export { TooManyQueriesError } from './database/queries/query-budget-error.ts'
export {
  AcquireTimeoutError,
  ConnectionLostError,
  ConnectTimeoutError,
  DatabaseTimeoutError,
  QueryTimeoutError,
  type TimedOutBy,
} from './database/query-errors.ts'
export { withQueryTimeout } from './database/query-limit.ts'
export { openSqlite, sqliteHealth } from './database/sqlite/open-sqlite.ts'
export type {
  SqliteChanges,
  SqliteDatabase,
  SqliteQueries,
  SqliteTransactionOptions,
} from './database/sqlite/sqlite-database.ts'
export { type KyselyParts, type KyselySqliteDialect, sqliteDialect } from './database/sqlite/sqlite-dialect.ts'
export {
  type CarriedOut,
  SqliteError,
  TransactionTimeoutError,
  WriteTimeoutError,
} from './database/sqlite/sqlite-errors.ts'
export type { SqliteEvent, SqliteEventType } from './database/sqlite/sqlite-events.ts'
export type { LaneHealth, SqliteCounts, SqliteHealth } from './database/sqlite/sqlite-health.ts'
export type { SqliteOptions } from './database/sqlite/sqlite-options.ts'
export type { SqliteInput, SqliteParameters, SqliteRow, SqliteValue } from './database/sqlite/sqlite-values.ts'
export type { Synchronous, TransactionMode } from './database/sqlite/thread-protocol.ts'
export type { QueueContext, QueueHandler } from './defer/call-handler.ts'
export { type DurableQueue, durableQueue, queueConcurrency } from './defer/defer.ts'
export type { QueueEvent, QueueEventType } from './defer/defer-events.ts'
export type { Durability, DurableQueueOptions, OnFull, Size } from './defer/defer-options.ts'
export type { PushResult } from './defer/defer-queue.ts'
export { type GraphileWorkerOptions, graphileWorker } from './defer/graphile/graphile-worker.ts'
export { PermanentError } from './defer/permanent-error.ts'
export type { QueueTransport } from './defer/via.ts'
export type { ErrorCode } from './errors/codes.ts'
export { InvalidOptionError } from './errors/invalid-option-error.ts'
export { PunctualError } from './errors/punctual-error.ts'
export { type RuntimeTimeoutOptions, runtimeTimeout } from './hot/hot-limit.ts'
export { type RuntimeValue, type RuntimeValueOptions, runtimeValue } from './hot/hot-value.ts'
export type { CacheCounts, CacheRedisReport, CacheReport } from './report/rooms/cache-report.ts'
export type { DropReason, QueueJobsReport, QueueReport, QueueState } from './report/rooms/defer-report.ts'
export { type CurrentRequest, currentRequest } from './request/current-request.ts'
export { deferRoutes, type Handler } from './routes/defer-handler.ts'
export type { DeferralEvent, DeferralOptions } from './routes/deferral-options.ts'
export { type LazyOptions, lazy } from './routes/lazy.ts'
export { RoutesFailedError, RoutesNotLoadedError } from './routes/routes-errors.ts'
export { defineConfig, type PunctualConfig } from './settings/define-config.ts'
export type { BackupConfig, ReleaseContext, ReleaseStep } from './settings/release-config.ts'
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
} from './wait/abort-reason.ts'
export {
  type Answer,
  type AskOptions,
  type FallbackChain,
  type FallbackChainOptions,
  fallbackChain,
} from './wait/alternatives.ts'
export type { Jitter } from './wait/back-off.ts'
export { type Breaker, BreakerOpenError, type BreakerOptions, type BreakerTrip, breaker } from './wait/breaker.ts'
export { type Bulkhead, BulkheadFullError, type BulkheadOptions, bulkhead } from './wait/bulkhead.ts'
export type { Deadline } from './wait/deadline.ts'
export type { Milliseconds } from './wait/duration.ts'
export { type WithFallbackOptions, withFallback } from './wait/fallback-to.ts'
export type { WaitOutcome, WaitRecord, Waits } from './wait/ledger.ts'
export type { Duration } from './wait/limit.ts'
export { ManualClock } from './wait/manual-clock.ts'
export { type Retry, type RetryOptions, retry } from './wait/retry.ts'
export type { RetryBudgetOptions } from './wait/retry-budget.ts'
export { type WithDeadlineOptions, withDeadline } from './wait/run-within.ts'
export type { TimerWheel } from './wait/timer-wheel.ts'
export type { WaitContext } from './wait/wait-node.ts'
export { currentWaits, type Surroundings, type WaitScope } from './wait/wait-scope.ts'
export { type WithTimeoutOptions, withTimeout } from './wait/within.ts'
export { abandonedOperations } from './wait/zombies.ts'
export { allowBlocking } from './worker/long-turn.ts'
