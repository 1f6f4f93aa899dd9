import { hostname } from 'node:os'
import { WaitTimeoutError } from '../../resilience/abort-reason.ts'
import { after, type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { type Duration, type Milliseconds, ms } from '../../resilience/duration.ts'
import { retry } from '../../resilience/retry.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { formatError, type QueueEvents } from '../queue-events.ts'
import type { PgPool } from './graphile-module.ts'
import type { JobConnections } from './job-environment.ts'
import type { JobPool, JobStore } from './job-store.ts'

/** Milliseconds between two deletions of old ids of forwarded items. */
const FORGET_EVERY = 3_600_000
/** How long a deletion may take in milliseconds before the next heartbeat continues it. */
const FORGET_FOR = 3_000
/** For one statement: the next heartbeat may succeed. */
const STATEMENT_TIMEOUT = '8s'
/** An answer may have arrived and not be read, because the event loop was blocked. */
const READ_FIRST = ms(100)
/** What broke one connection may have broken others, without the pool knowing yet. */
const LEAVE = retry('leaving the jobs', { attempts: 5 })

export interface HeartbeatOptions {
  readonly heartbeat: Milliseconds
  readonly releaseAfter: Milliseconds
  readonly events: QueueEvents
}

interface HeartbeatConnections extends Pick<JobConnections, 'breakAll'> {
  readonly pool: PgPool
}

/**
 * The heartbeat of one pool of jobs. graphile-worker itself gives the jobs of a dead process to
 * others after four hours; here each pool writes a heartbeat, and releases the jobs of pools
 * without one.
 */
export class JobHeartbeat {
  readonly #store: JobStore
  readonly #connections: HeartbeatConnections
  readonly #self: JobPool
  readonly #options: HeartbeatOptions
  /** When the last heartbeat was written, in milliseconds of the monotonic clock. */
  #at = Number.NEGATIVE_INFINITY
  #beating: Promise<void> | null = null
  #forgetAt: number
  readonly #stop: Cancel

  /** @param id of the pool of jobs: jobs are locked by it */
  constructor(store: JobStore, connections: HeartbeatConnections, id: string, options: HeartbeatOptions) {
    this.#store = store
    this.#connections = connections
    this.#options = options
    this.#self = { id, host: hostname(), pid: process.pid, releaseAfter: options.releaseAfter }
    // At random, for when many processes start together.
    this.#forgetAt = monotonicNow() + Math.random() * FORGET_EVERY
    this.#stop = every(options.heartbeat, () => void this.#onInterval())
  }

  /** Whether other processes know of this pool, and do not release its jobs. */
  get isKnown(): boolean {
    return monotonicNow() - this.#at < this.#options.releaseAfter / 2
  }

  /** @throws the error of the database */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = null
    })
    return this.#beating
  }

  /** Releases this pool's jobs. If that fails, others release them after `releaseAfter`. */
  async end(timeout: Milliseconds): Promise<void> {
    this.#stop()
    const end = monotonicNow() + timeout
    // A heartbeat that is written after the pool was removed would make it look dead later.
    await withTimeout('the last heartbeat of jobs', ms(timeout / 2), () => this.#beating, { parent: null }).catch(
      () => {},
    )
    const leave = (): Promise<void> => this.#store.leave(this.#connections.pool, this.#self.id)
    await this.#query('leaving the jobs', ms(end - monotonicNow()), () => LEAVE.run(leave, { parent: null }))
  }

  async #beat(): Promise<void> {
    const at = monotonicNow()
    let isOver = false
    const beat = this.#store.beat(this.#connections.pool, this.#self).finally(() => {
      isOver = true
    })
    try {
      await this.#query('heartbeat of jobs', STATEMENT_TIMEOUT, () => beat)
      this.#at = at
    } catch (error) {
      // Otherwise queries on other silent connections would wait too, with their locks.
      if (error instanceof WaitTimeoutError) {
        after(READ_FIRST, () => isOver || this.#connections.breakAll(), { keepAlive: false })
      }
      throw error
    }
  }

  async #onInterval(): Promise<void> {
    const { events } = this.#options
    try {
      await this.beat()
      const { pool } = this.#connections
      const released = await this.#query('jobs of dead processes', STATEMENT_TIMEOUT, () =>
        this.#store.releaseSilent(pool),
      )
      for (const from of released) {
        events.emit('jobs-released', `released the jobs of ${from}, which sent no heartbeat`, { from })
      }
      if (monotonicNow() >= this.#forgetAt) await this.#forget()
    } catch (error) {
      if (this.isKnown) return
      const why = formatError(error)
      events.emit('failing', `cannot write a heartbeat, and others may run the same jobs: ${why}`, { error: why })
    }
  }

  async #forget(): Promise<void> {
    const begunAt = monotonicNow()
    // Intervals do not wait for one another: only one of them deletes.
    this.#forgetAt = begunAt + FORGET_EVERY
    const { pool } = this.#connections
    while (await this.#query('forgetting forwarded items', STATEMENT_TIMEOUT, () => this.#store.forgetOld(pool))) {
      if (monotonicNow() - begunAt < FORGET_FOR) continue
      this.#forgetAt = begunAt
      return
    }
  }

  /** Outside of any request, also when the timer was set in one. */
  #query<Answer>(name: string, timeout: Duration, query: () => Promise<Answer>): Promise<Answer> {
    return withTimeout(name, timeout, query, { parent: null })
  }
}
