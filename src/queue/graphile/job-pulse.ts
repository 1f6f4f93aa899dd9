import { hostname } from 'node:os'
import { WaitTimeoutError } from '../../resilience/abort-reason.ts'
import { after, type Cancel, every, monotonicNow } from '../../resilience/clock.ts'
import { type Duration, type Milliseconds, ms } from '../../resilience/duration.ts'
import { retry } from '../../resilience/retry.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { type QueueEvent, tellError } from '../defer-events.ts'
import type { PgPool } from './graphile-shapes.ts'
import type { JobConnections } from './job-connections.ts'
import type { JobPool, JobStore } from './job-store.ts'

/** Between two times that what is long known is forgotten, in milliseconds. */
const FORGET_EVERY = 3_600_000
/** For so many milliseconds it is forgotten at a time; then the next heartbeat goes on. */
const FORGET_FOR = 3_000
/** For one word to the database; the next beat may say it better. */
const BEAT_LIMIT = '8s'
/** An answer may be there already, and not be read because the event loop was blocked. */
const READ_FIRST = ms(100)
/** What broke a connection may have broken others, of which the pool has not heard yet. */
const LEAVING = retry('leaving the jobs', { attempts: 5 })

export interface PulseOptions {
  readonly heartbeat: Milliseconds
  readonly releaseAfter: Milliseconds
  readonly tell: (event: Omit<QueueEvent, 'queue'>) => void
}

interface PulseConnections extends Pick<JobConnections, 'breakAll'> {
  readonly pool: PgPool
}

/**
 * The heartbeat of one pool of jobs. graphile-worker itself gives the jobs of a process that died to others after four hours; here each pool says that it lives, and
 * whoever lives gives others the jobs of those that no longer say it.
 */
export class JobPulse {
  readonly #store: JobStore
  readonly #connections: PulseConnections
  readonly #self: JobPool
  readonly #options: PulseOptions
  /** When the last beat was written, in milliseconds of the monotonic clock. */
  #at = Number.NEGATIVE_INFINITY
  #beating: Promise<void> | null = null
  #forgetAt: number
  readonly #stop: Cancel

  /** @param id of the pool of jobs, as jobs are locked by it */
  constructor(store: JobStore, connections: PulseConnections, id: string, options: PulseOptions) {
    this.#store = store
    this.#connections = connections
    this.#options = options
    this.#self = { id, host: hostname(), pid: process.pid, releaseAfter: options.releaseAfter }
    // Not all at once when many start together.
    this.#forgetAt = monotonicNow() + Math.random() * FORGET_EVERY
    this.#stop = every(options.heartbeat, () => void this.#look())
  }

  /** Whether others know that we live, and so leave us the job we take next. */
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

  /** Our own jobs are free at once. If this cannot be said, they are when we have been silent for long enough. */
  async end(limit: Milliseconds): Promise<void> {
    this.#stop()
    const end = monotonicNow() + limit
    // A beat that is written after we have left would have us missed.
    await withTimeout('the last heartbeat of jobs', ms(limit / 2), () => this.#beating, { parent: null }).catch(
      () => {},
    )
    const leave = (): Promise<void> => this.#store.leave(this.#connections.pool, this.#self.id)
    await this.#ask('leaving the jobs', ms(end - monotonicNow()), () => LEAVING.run(leave, { parent: null }))
  }

  async #beat(): Promise<void> {
    const at = monotonicNow()
    let isOver = false
    const beat = this.#store.beat(this.#connections.pool, this.#self).finally(() => {
      isOver = true
    })
    try {
      await this.#ask('heartbeat of jobs', BEAT_LIMIT, () => beat)
      this.#at = at
    } catch (error) {
      // Else what waits on connections as silent as this one, and what is locked by it, would wait with it.
      if (error instanceof WaitTimeoutError) {
        after(READ_FIRST, () => isOver || this.#connections.breakAll(), { keepAlive: false })
      }
      throw error
    }
  }

  async #look(): Promise<void> {
    try {
      await this.beat()
      const { pool } = this.#connections
      const released = await this.#ask('jobs of the dead', BEAT_LIMIT, () => this.#store.releaseSilent(pool))
      for (const where of released) {
        const message = `deferred work: the jobs of ${where}, which has fallen silent, are given to others`
        this.#options.tell({ type: 'adopted', severity: 'warn', message, details: { from: where } })
      }
      if (monotonicNow() >= this.#forgetAt) await this.#forget()
    } catch (error) {
      if (this.isKnown) return
      const why = tellError(error)
      const message = `deferred work: the database does not take our heartbeat, and others may carry out our jobs again: ${why}`
      this.#options.tell({ type: 'failing', severity: 'warn', message, details: { error: why } })
    }
  }

  async #forget(): Promise<void> {
    const begunAt = monotonicNow()
    // Beats do not wait for one another: only one of them forgets.
    this.#forgetAt = begunAt + FORGET_EVERY
    const { pool } = this.#connections
    while (await this.#ask('forgetting what was forwarded', BEAT_LIMIT, () => this.#store.forgetOld(pool))) {
      if (monotonicNow() - begunAt < FORGET_FOR) continue
      this.#forgetAt = begunAt
      return
    }
  }

  /** Outside of every request, whoever set the clock. */
  #ask<Answer>(name: string, limit: Duration, question: () => Promise<Answer>): Promise<Answer> {
    return withTimeout(name, limit, question, { parent: null })
  }
}
