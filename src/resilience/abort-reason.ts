import type { RequestErrorCode } from '../errors/codes.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { formatElapsed, type Milliseconds } from './duration.ts'

/** Why work was given up. `isTimeout` tells the two that are time-outs from those that are not. */
export type AbortReason =
  | DeadlineExceededError
  | WaitTimeoutError
  | ClientDisconnectedError
  | ShutdownError
  | ShedError
  | SupersededError

/** `--frozen-intrinsics` forbids to write it; then a reason costs a stack. */
const CAN_SKIP_STACK = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')?.writable === true

/**
 * Base of all reasons. Its `stack` is one line: it is made where a timer or a socket spoke, which
 * says nothing, and taking a stack would cost ten times as much as everything else about it.
 */
export abstract class AbortedError extends PunctualError {
  static {
    AbortedError.prototype.name = 'AbortedError'
  }

  abstract readonly kind:
    | 'deadline-exceeded'
    | 'wait-timeout'
    | 'client-disconnected'
    | 'shutdown'
    | 'shed'
    | 'superseded'

  constructor(code: RequestErrorCode, message: string) {
    const { stackTraceLimit } = Error
    if (CAN_SKIP_STACK) Error.stackTraceLimit = 0
    super(code, message)
    if (CAN_SKIP_STACK) Error.stackTraceLimit = stackTraceLimit
  }
}

/** The deadline of a whole request, or of other work with a scope, passed. */
export class DeadlineExceededError extends AbortedError {
  static {
    DeadlineExceededError.prototype.name = 'DeadlineExceededError'
  }

  override readonly kind = 'deadline-exceeded'
  /** Milliseconds since its beginning. */
  readonly elapsed: Milliseconds

  constructor(elapsed: Milliseconds, what = 'the request') {
    super('PUNCTUAL_REQUEST_TIMEOUT', `the deadline of ${what} passed after ${formatElapsed(elapsed)}`)
    this.elapsed = elapsed
  }
}

export interface WaitTimeout {
  /** Name of the wait. */
  readonly wait: string
  /** What it was allowed, in milliseconds: the smaller of its own limit and what was left. */
  readonly timeout: Milliseconds
  /** How long it took, in milliseconds. */
  readonly elapsed: Milliseconds
  /** What bounded it: its own limit, or the deadline of what it belongs to. */
  readonly because: 'timeout' | 'deadline'
  /** False when it was not begun at all, because too little was left. */
  readonly started: boolean
}

/** A wait ran out. Where a fallback failed too, `cause` is the fallback's error. */
export class WaitTimeoutError extends AbortedError implements WaitTimeout {
  static {
    WaitTimeoutError.prototype.name = 'WaitTimeoutError'
  }

  override readonly kind = 'wait-timeout'
  readonly wait: string
  readonly timeout: Milliseconds
  readonly elapsed: Milliseconds
  readonly because: 'timeout' | 'deadline'
  readonly started: boolean

  constructor({ wait, timeout: limit, elapsed, because, started }: WaitTimeout) {
    super('PUNCTUAL_WAIT_TIMEOUT', tellExpiry(wait, limit, elapsed, because, started))
    this.wait = wait
    this.timeout = limit
    this.elapsed = elapsed
    this.because = because
    this.started = started
  }
}

function tellExpiry(
  wait: string,
  limit: Milliseconds,
  elapsed: Milliseconds,
  because: 'timeout' | 'deadline',
  started: boolean,
): string {
  if (because === 'timeout')
    return `the wait "${wait}" took ${formatElapsed(elapsed)}; its limit is ${formatElapsed(limit)}`
  if (started) return `the wait "${wait}" took ${formatElapsed(elapsed)}, which is all that was left of the deadline`
  return `the wait "${wait}" was not begun: ${formatElapsed(limit)} was left of the deadline`
}

/** The client closed its connection. Not a time-out. */
export class ClientDisconnectedError extends AbortedError {
  static {
    ClientDisconnectedError.prototype.name = 'ClientDisconnectedError'
  }

  override readonly kind = 'client-disconnected'

  constructor(message = 'the client closed the connection before it was answered') {
    super('PUNCTUAL_CLIENT_DISCONNECTED', message)
  }
}

/** The process is leaving. Not a time-out. */
export class ShutdownError extends AbortedError {
  static {
    ShutdownError.prototype.name = 'ShutdownError'
  }

  override readonly kind = 'shutdown'

  constructor(message = 'the process is shutting down') {
    super('PUNCTUAL_SHUTTING_DOWN', message)
  }
}

/** It was refused, or given up, because there is too much to do. Not a time-out. */
export class ShedError extends AbortedError {
  static {
    ShedError.prototype.name = 'ShedError'
  }

  override readonly kind = 'shed'

  constructor(message = 'there is more to do than can be done in time') {
    super('PUNCTUAL_SHED', message)
  }
}

/** Its result is no longer wanted: something newer took its place. Not a time-out. */
export class SupersededError extends AbortedError {
  static {
    SupersededError.prototype.name = 'SupersededError'
  }

  override readonly kind = 'superseded'

  constructor(message = 'something newer took the place of this work') {
    super('PUNCTUAL_SUPERSEDED', message)
  }
}

/**
 * The codes, not the classes: an app may have a copy of Punctual of its own beside the one that
 * serves it.
 */
const EXPIRIES: ReadonlySet<unknown> = new Set(['PUNCTUAL_REQUEST_TIMEOUT', 'PUNCTUAL_WAIT_TIMEOUT'])
const REASONS: ReadonlySet<unknown> = new Set([
  ...EXPIRIES,
  'PUNCTUAL_CLIENT_DISCONNECTED',
  'PUNCTUAL_SHUTTING_DOWN',
  'PUNCTUAL_SHED',
  'PUNCTUAL_SUPERSEDED',
])

/**
 * Whether this error, or reason of an abort, is a real time-out: a deadline or a wait that expired,
 * or the platform's own (`AbortSignal.timeout`). A client that left, a shutdown, shedding and being
 * superseded are none.
 */
export function isTimeout(reason: unknown): boolean {
  if (!(reason instanceof Error)) return false
  if ('code' in reason && EXPIRIES.has(reason.code)) return true
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}

/** Whether it is one of Punctual's reasons, an expiry included. */
export function isAbortReason(reason: unknown): reason is AbortReason {
  return reason instanceof Error && 'code' in reason && REASONS.has(reason.code)
}

/**
 * Whether the error is a failure of the work itself, time-outs included. Not, where the work was
 * not begun (too little time, a full bulkhead, an open breaker) or given up for a reason that is no
 * time-out: that says nothing about what it depends on, and trying again cannot help.
 */
export function isFailureOfWork(error: unknown): boolean {
  if (isTimeout(error)) return (error as { readonly started?: boolean }).started !== false
  if (isAbortReason(error)) return false
  const code = error instanceof PunctualError ? error.code : undefined
  return code !== 'PUNCTUAL_BREAKER_OPEN' && code !== 'PUNCTUAL_BULKHEAD_FULL'
}
