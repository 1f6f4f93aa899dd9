/**
 * `punctual`: timeouts, the current request, errors. Everything here also works in an app that does
 * not run under Punctual.
 */

export { defineConfig, type PunctualConfig } from './define-config.ts'
export type { ErrorCode } from './errors/codes.ts'
export { InvalidOptionError, PunctualError } from './errors/punctual-error.ts'
export { type CurrentRequest, currentRequest } from './http/current-request.ts'
export type { BackupConfig, ReleaseContext, ReleaseStep } from './release/release-config.ts'
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
export { abandonedOperations } from './resilience/bounded-operation.ts'
export { type Breaker, BreakerOpenError, type BreakerOptions, type BreakerTrip, breaker } from './resilience/breaker.ts'
export { type Bulkhead, BulkheadFullError, type BulkheadOptions, bulkhead } from './resilience/bulkhead.ts'
export type { Deadline } from './resilience/clock.ts'
export type { Duration, Milliseconds } from './resilience/duration.ts'
export {
  type Answer,
  type AskOptions,
  type FallbackChain,
  type FallbackChainOptions,
  fallbackChain,
  type WithFallbackOptions,
  withFallback,
} from './resilience/fallback.ts'
export type { RetryBudgetOptions } from './resilience/retry.ts'
export { type Retry, type RetryOptions, retry } from './resilience/retry.ts'
export type { TimerWheel } from './resilience/timer-wheel.ts'
export type { WaitContext } from './resilience/wait-node.ts'
export { currentWaits, type ParentOption, type WaitScope } from './resilience/wait-scope.ts'
export type { WaitOutcome, WaitRecord, Waits } from './resilience/waits.ts'
export { type WithDeadlineOptions, withDeadline } from './resilience/with-deadline.ts'
export { type WithTimeoutOptions, withTimeout } from './resilience/with-timeout.ts'
export { singleton } from './system/process-global.ts'
export { allowBlocking } from './worker/allow-blocking.ts'
