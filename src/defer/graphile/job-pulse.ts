import { hostname } from 'node:os'
import { type Cancel, every, monotonicNow } from '../../wait/clock.ts'
import { type Milliseconds, ms } from '../../wait/duration.ts'
import { within } from '../../wait/within.ts'
import { type DeferEvent, tellError } from '../defer-events.ts'
import type { PgPool } from './graphile-shapes.ts'
import type { JobPool, JobStore } from './job-store.ts'

/** Between two times that what is long known is forgotten, in milliseconds. */
const FORGET_EVERY = 3_600_000
/** For one word to the database; the next beat may say it better. */
const BEAT_LIMIT = '8s'

export interface PulseOptions {
  readonly heartbeat: Milliseconds
  readonly releaseAfter: Milliseconds
  readonly tell: (event: Omit<DeferEvent, 'queue'>) => void
}

/**
 * The heartbeat of one pool of jobs. graphile-worker itself gives the jobs of a process that died to others after four hours; here each pool says that it lives, and
 * whoever lives gives others the jobs of those that no longer say it.
 */
export class JobPulse {
  readonly #store: JobStore
  readonly #pool: PgPool
  readonly #self: JobPool
  readonly #options: PulseOptions
  /** When the last beat was written, in milliseconds of the monotonic clock. */
  #at = Number.NEGATIVE_INFINITY
  #beating: Promise<void> | null = null
  #forgetAt: number
  readonly #stop: Cancel

  /** @param id of the pool of jobs, as jobs are locked by it */
  constructor(store: JobStore, pool: PgPool, id: string, options: PulseOptions) {
    this.#store = store
    this.#pool = pool
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
    const at = monotonicNow()
    this.#beating ??= within('heartbeat of jobs', BEAT_LIMIT, () => this.#store.beat(this.#pool, this.#self), {
      parent: null,
    })
      .then(() => {
        this.#at = at
      })
      .finally(() => {
        this.#beating = null
      })
    return this.#beating
  }

  /** Our own jobs are free at once. */
  async end(limit: Milliseconds): Promise<void> {
    this.#stop()
    await within('leaving the jobs', ms(limit), () => this.#store.leave(this.#pool, this.#self.id), { parent: null })
  }

  async #look(): Promise<void> {
    try {
      await this.beat()
      const released = await within('jobs of the dead', BEAT_LIMIT, () => this.#store.releaseSilent(this.#pool), {
        parent: null,
      })
      for (const where of released) {
        const message = `deferred work: the jobs of ${where}, which has fallen silent, are given to others`
        this.#options.tell({ type: 'adopted', severity: 'warn', message })
      }
      if (monotonicNow() < this.#forgetAt) return
      this.#forgetAt = monotonicNow() + FORGET_EVERY
      await this.#store.forgetOld(this.#pool)
    } catch (error) {
      if (this.isKnown) return
      const message = `deferred work: the database does not take our heartbeat, and others may carry out our jobs again: ${tellError(error)}`
      this.#options.tell({ type: 'failing', severity: 'warn', message })
    }
  }
}
