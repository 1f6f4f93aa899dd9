import { DatabaseOperation } from '../database/database-operation.ts'
import { type DatabaseTimeout, DatabaseTimeoutError } from '../database/query-errors.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { WaitNode } from '../resilience/wait-node.ts'
import type { GuardedClient } from './guarded-client.ts'
import { formatHealth, type PoolHealth } from './pool-health.ts'

/** The part of a pool that a wait for a connection needs. */
export interface AcquiringPool {
  readonly settings: { readonly name: string }
  health(): PoolHealth
  /** The wait timed out or was given up. */
  onAcquireGivenUp(wait: AcquireWait): void
}

/** The wait of a caller for a connection. */
export class AcquireWait extends DatabaseOperation {
  readonly checkout: Checkout
  readonly client: Promise<GuardedClient>
  readonly #pool: AcquiringPool
  readonly #resolve: (client: GuardedClient) => void
  readonly #reject: (error: unknown) => void

  constructor(pool: AcquiringPool, timeout: Milliseconds, checkout: Checkout) {
    super(pool.settings.name, timeout, 'acquire')
    this.#pool = pool
    this.checkout = checkout
    const { promise, resolve, reject } = Promise.withResolvers<GuardedClient>()
    this.client = promise
    this.#resolve = resolve
    this.#reject = reject
  }

  override get name(): string {
    return `${this.operation ?? `pool ${this.pool}`}: connection`
  }

  start(): void {
    this.begin()
  }

  serve(client: GuardedClient): void {
    this.settle('ok')
    this.endWork()
    this.#resolve(client)
  }

  fail(error: unknown): void {
    this.settle('failed')
    this.endWork()
    this.#reject(error)
  }

  protected override onGivenUp(reason: unknown): void {
    this.#pool.onAcquireGivenUp(this)
    this.#reject(reason)
  }

  protected override timeoutError(): AcquireTimeoutError {
    return new AcquireTimeoutError(this.timeoutFacts, this.#pool.health())
  }
}

/** No connection of the pool became free within `acquireTimeout`. */
export class AcquireTimeoutError extends DatabaseTimeoutError {
  static {
    AcquireTimeoutError.prototype.name = 'AcquireTimeoutError'
  }

  /** The pool at the time of the error. */
  readonly health: PoolHealth

  constructor(facts: DatabaseTimeout, health: PoolHealth) {
    super('connection', facts, `; ${formatHealth(health)}`)
    this.health = health
  }
}

/**
 * A connection in the hands of a scope, until it is released. If the scope is given up, its
 * transaction must not stay open while the borrower waits for something else.
 */
export class Holding extends WaitNode {
  readonly #onGivenUp: (reason: unknown) => void

  constructor(scope: WaitNode, onGivenUp: (reason: unknown) => void) {
    super(scope)
    this.#onGivenUp = onGivenUp
    this.join()
  }

  override giveUp(reason: unknown): void {
    super.giveUp(reason)
    this.#onGivenUp(reason)
  }
}

/** Enough frames to get past those of a query builder to the app's. */
const MAX_FRAMES = 16
/** Frames of Node.js, of packages and of this module. */
const NOT_THE_APP = /node:|[\\/]node_modules[\\/]|\(<anonymous>\)$|at async Promise\./
const OWN_FOLDER: string = import.meta.url.slice(0, import.meta.url.lastIndexOf('/') + 1)

/** A connection that a caller has checked out, or waits for. */
export class Checkout {
  /** When the connection was checked out, or before that, requested; monotonic milliseconds. */
  since: Milliseconds = monotonicNow()
  /** Whether it has been reported as a leak. */
  isReported = false
  /** The scope that has checked it out; null for `pool.query`, which ends with its query. */
  readonly scope: WaitNode | null
  readonly #operation: string | null
  readonly #place: () => string

  /** @param place returns where the connection was requested, or the statement that needs it */
  constructor(operation: string | null, place: () => string, scope: WaitNode | null = null) {
    this.scope = scope
    this.#operation = operation
    this.#place = place
  }

  get age(): Milliseconds {
    return (monotonicNow() - this.since) as Milliseconds
  }

  /** The operation, if it has a name, and the place in the app. Formatted on each call. */
  get by(): string {
    const place = this.#place()
    return this.#operation === null ? place : `${this.#operation} (${place})`
  }
}

/**
 * Captures where `connect` was called. V8 captures the frames now, in 5 to 15 µs, and formats them
 * when `stack` is first read, for a report. `pool.query` captures nothing: its statement identifies
 * it.
 */
export function capturePlace(below: (...args: never) => unknown): () => string {
  const before = Error.stackTraceLimit
  const place: { stack?: string } = {}
  try {
    Error.stackTraceLimit = MAX_FRAMES
    Error.captureStackTrace(place, below)
    return () => appFrame(place.stack ?? '')
  } finally {
    Error.stackTraceLimit = before
  }
}

/**
 * Formats `at listUsers (/srv/app/users.ts:42:7)` as `listUsers (users.ts:42)`, relative to the
 * working directory.
 */
export function appFrame(stack: string): string {
  const frames = stack.split('\n').filter((line) => line.startsWith('    at '))
  const frame = frames.find((line) => !NOT_THE_APP.test(line) && !line.includes(OWN_FOLDER)) ?? frames[0]
  if (frame === undefined) return 'an unknown place'
  return frame
    .replace(/^ {4}at (?:async )?/, '')
    .replaceAll('file://', '')
    .replaceAll(`${process.cwd()}/`, '')
    .replace(/:\d+(\)?)$/, '$1')
}
