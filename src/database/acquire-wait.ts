import type { Milliseconds } from '../wait/duration.ts'
import type { Borrow } from './borrow.ts'
import { DatabaseWait } from './database-wait.ts'
import type { GuardedClient } from './guarded-client.ts'
import { AcquireExpiredError } from './query-errors.ts'

/** Somebody who waits for a connection. */
export class AcquireWait extends DatabaseWait {
  readonly borrow: Borrow
  readonly #tellState: () => string
  readonly #onGiven: (wait: AcquireWait) => void
  readonly #settle: (error: unknown, client?: GuardedClient) => void

  /**
   * @param tellState what the pool looks like, for the error
   * @param onGiven it waits no more
   * @param settle called once
   */
  constructor(
    pool: string,
    limit: Milliseconds,
    borrow: Borrow,
    tellState: () => string,
    onGiven: (wait: AcquireWait) => void,
    settle: (error: unknown, client?: GuardedClient) => void,
  ) {
    super(pool, limit, 'acquire')
    this.borrow = borrow
    this.#tellState = tellState
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
    this.finish('ok')
    this.#settle(undefined, client)
  }

  fail(error: unknown): void {
    this.finish('failed')
    this.#settle(error)
  }

  protected override given(reason: unknown): void {
    this.#onGiven(this)
    this.#settle(reason)
  }

  protected override expired(): AcquireExpiredError {
    return new AcquireExpiredError(this.expiry, this.#tellState())
  }
}
