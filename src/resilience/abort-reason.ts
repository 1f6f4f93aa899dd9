import type { RequestErrorCode } from '../errors/codes.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { formatElapsed, type Milliseconds } from './duration.ts'

/** Why work was given up. `isTimeout` tells the two timeouts from the others. */
export type AbortReason =
  | DeadlineExceededError
  | WaitTimeoutError
  | ClientDisconnectedError
  | ShutdownError
  | ShedError
  | SupersededError

/** False under `--frozen-intrinsics`; a reason has a stack then. */
const CAN_SKIP_STACK = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')?.writable === true

/**
 * Base of all reasons. Its `stack` is one line: it is created in a timer or an event of a socket,
 * where the stack says nothing, and capturing it takes ten times as long as the rest.
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

/** The deadline of a request, or of other work with a scope, has passed. */
export class DeadlineExceededError extends AbortedError {
  static {
    DeadlineExceededError.prototype.name = 'DeadlineExceededError'
  }

  override readonly kind = 'deadline-exceeded'
  /** Milliseconds since the start. */
  readonly elapsed: Milliseconds

  constructor(elapsed: Milliseconds, what = 'the request') {
    super('PUNCTUAL_REQUEST_TIMEOUT', `the deadline of ${what} passed after ${formatElapsed(elapsed)}`)
    this.elapsed = elapsed
  }
}

export interface WaitTimeout {
  /** The name of the wait. */
  readonly wait: string
  /** The smaller of its own timeout and the time left, in milliseconds. */
  readonly timeout: Milliseconds
  /** How long it took, in milliseconds. */
  readonly elapsed: Milliseconds
  /** What limited it: its own timeout, or the deadline around it. */
  readonly because: 'timeout' | 'deadline'
  /** False if it was refused, because too little time was left. */
  readonly started: boolean
}

/** A wait timed out. If its fallback failed too, `cause` is the error of the fallback. */
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

  constructor({ wait, timeout, elapsed, because, started }: WaitTimeout) {
    super('PUNCTUAL_WAIT_TIMEOUT', formatTimeout(wait, timeout, elapsed, because, started))
    this.wait = wait
    this.timeout = timeout
    this.elapsed = elapsed
    this.because = because
    this.started = started
  }
}

function formatTimeout(
  wait: string,
  timeout: Milliseconds,
  elapsed: Milliseconds,
  because: 'timeout' | 'deadline',
  started: boolean,
): string {
  const name = `the wait "${wait}"`
  if (because === 'timeout') {
    return `${name} timed out after ${formatElapsed(elapsed)}; its timeout is ${formatElapsed(timeout)}`
  }
  if (started) return `${name} timed out after ${formatElapsed(elapsed)}, at the deadline around it`
  return `${name} was not started: ${formatElapsed(timeout)} was left until the deadline`
}

/** The client closed its connection. Not a timeout. */
export class ClientDisconnectedError extends AbortedError {
  static {
    ClientDisconnectedError.prototype.name = 'ClientDisconnectedError'
  }

  override readonly kind = 'client-disconnected'

  constructor(message = 'the client closed the connection before it was answered') {
    super('PUNCTUAL_CLIENT_DISCONNECTED', message)
  }
}

/** The process is shutting down. Not a timeout. */
export class ShutdownError extends AbortedError {
  static {
    ShutdownError.prototype.name = 'ShutdownError'
  }

  override readonly kind = 'shutdown'

  constructor(message = 'the process is shutting down') {
    super('PUNCTUAL_SHUTTING_DOWN', message)
  }
}

/** Refused or given up because of overload. Not a timeout. */
export class ShedError extends AbortedError {
  static {
    ShedError.prototype.name = 'ShedError'
  }

  override readonly kind = 'shed'

  constructor(message = 'the server is overloaded') {
    super('PUNCTUAL_SHED', message)
  }
}

/** The result is no longer needed, because something newer has replaced it. Not a timeout. */
export class SupersededError extends AbortedError {
  static {
    SupersededError.prototype.name = 'SupersededError'
  }

  override readonly kind = 'superseded'

  constructor(message = 'something newer has replaced this work') {
    super('PUNCTUAL_SUPERSEDED', message)
  }
}

/** Codes, not classes: an app may have a copy of Punctual of its own. */
const TIMEOUTS: ReadonlySet<unknown> = new Set(['PUNCTUAL_REQUEST_TIMEOUT', 'PUNCTUAL_WAIT_TIMEOUT'])
const REASONS: ReadonlySet<unknown> = new Set([
  ...TIMEOUTS,
  'PUNCTUAL_CLIENT_DISCONNECTED',
  'PUNCTUAL_SHUTTING_DOWN',
  'PUNCTUAL_SHED',
  'PUNCTUAL_SUPERSEDED',
])

/**
 * Whether an error or an abort reason is a timeout: that of a deadline or a wait, or of
 * `AbortSignal.timeout`. A disconnected client, a shutdown, shedding and being superseded are not.
 */
export function isTimeout(reason: unknown): boolean {
  if (!(reason instanceof Error)) return false
  if ('code' in reason && TIMEOUTS.has(reason.code)) return true
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}

/** Whether it is one of the reasons of Punctual, timeouts included. */
export function isAbortReason(reason: unknown): reason is AbortReason {
  return reason instanceof Error && 'code' in reason && REASONS.has(reason.code)
}

/**
 * Whether the error is a failure of the work itself, timeouts included. False if the work was
 * refused (too little time, a full bulkhead, an open breaker) or given up for a reason that is not
 * a timeout: that says nothing about the dependency, and retrying does not help.
 */
export function isFailureOfWork(error: unknown): boolean {
  if (isTimeout(error)) return (error as { readonly started?: boolean }).started !== false
  if (isAbortReason(error)) return false
  const code = error instanceof PunctualError ? error.code : undefined
  return code !== 'PUNCTUAL_BREAKER_OPEN' && code !== 'PUNCTUAL_BULKHEAD_FULL'
}
