import { DatabaseOperation } from '../database/database-operation.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Borrow } from './borrow.ts'
import type { GuardedClient } from './guarded-client.ts'
import { AcquireTimeoutError } from './pool-errors.ts'
import type { PoolHealth } from './pool-health.ts'

/** Somebody who waits for a connection. */
export class AcquireWait extends DatabaseOperation {
  readonly borrow: Borrow
  readonly #health: () => PoolHealth
  readonly #onGiven: (wait: AcquireWait) => void
  readonly #settle: (error: unknown, client?: GuardedClient) => void

  /**
   * @param health what the pool looks like, for the error
   * @param onGiven it waits no more
   * @param settle called once
   */
  constructor(
    pool: string,
    limit: Milliseconds,
    borrow: Borrow,
    health: () => PoolHealth,
    onGiven: (wait: AcquireWait) => void,
    settle: (error: unknown, client?: GuardedClient) => void,
  ) {
    super(pool, limit, 'acquire')
    this.borrow = borrow
    this.#health = health
    this.#onGiven = onGiven
    this.#settle = settle
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
    this.#settle(undefined, client)
  }

  fail(error: unknown): void {
    this.settle('failed')
    this.endWork()
    this.#settle(error)
  }

  protected override onGivenUp(reason: unknown): void {
    this.#onGiven(this)
    this.#settle(reason)
  }

  protected override timeoutError(): AcquireTimeoutError {
    return new AcquireTimeoutError(this.timeoutFacts, this.#health())
  }
}
