import { EventEmitter } from 'node:events'
import { ShutdownError } from '../../resilience/abort-reason.ts'
import { delayAfter } from '../../resilience/back-off.ts'
import { after, type Cancel, monotonicNow } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { type QueueEvent, tellError } from '../defer-events.ts'
import type { GraphileModule, GraphileRunner, RunOptions } from './graphile-shapes.ts'
import type { JobConnections } from './job-connections.ts'
import { JobPulse, type PulseOptions } from './job-pulse.ts'
import type { JobStore } from './job-store.ts'
import type { QueueTask } from './queue-task.ts'

/** Between two tries to begin. */
const BACK_OFF = { jitter: 'full', base: 500, most: 30_000, random: Math.random } as const
/** Of the time there is to leave: then what still runs is given up. */
const PATIENCE = 0.8
/**
 * graphile-worker 0.18 writes the end of a job to the database without awaiting it: if that fails, the rejection is nobody's and ends the process, and the job stays
 * locked. Gathered into batches, even of no time at all, a failure is heard: its pool of jobs ends, and we begin another.
 */
const HEARD_ENDS = { completeJobBatchDelay: 0, failJobBatchDelay: 0 } as const
/** For what it asks the database before its first look for a job. */
const BEGIN_LIMIT = ms(60_000)
/**
 * For the ends of jobs that are still to be written when no more jobs run. graphile-worker 0.18 counts them wrongly after one has failed beside another, and would wait
 * for ever, with all it has locked.
 */
const ENDS_LIMIT = ms(10_000)
/** Milliseconds between two lines of what graphile-worker has to complain of. */
const TELL_EVERY = 10_000

export interface RunnerOptions extends PulseOptions {
  readonly schema: string
  readonly concurrency: number
  readonly pollInterval: Milliseconds
}

/** What a runner works with: opened, migrated and loaded. */
export interface RunnerGround {
  readonly module: GraphileModule
  readonly connections: JobConnections
  readonly store: JobStore
}

/** Runs the jobs of some queues in this process until it is stopped, and begins again whenever graphile-worker gives up. */
export class JobRunner {
  readonly #tasks: readonly QueueTask[]
  readonly #options: RunnerOptions
  readonly #ground: () => Promise<RunnerGround>
  readonly #stop = new AbortController()
  /** Wakes who waits to begin again. */
  #wake = (): void => {}
  #stopping = false
  #runner: GraphileRunner | null = null
  readonly #ended: Promise<void>
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(tasks: readonly QueueTask[], options: RunnerOptions, ground: () => Promise<RunnerGround>) {
    this.#tasks = tasks
    this.#options = options
    this.#ground = ground
    this.#ended = this.#run()
  }

  /** Takes no more jobs, waits for those that run, then gives them up; they are others' at once. Never rejects. */
  async stop(limit: Milliseconds): Promise<void> {
    this.#stopping = true
    this.#wake()
    const cancel = after(ms(limit * PATIENCE), () => this.#stop.abort(new ShutdownError()), { keepAlive: false })
    void this.#runner?.stop().catch(() => {})
    await withTimeout('the jobs of this process', limit, () => this.#ended, { parent: null }).catch(() => {})
    cancel()
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#stopping) {
      const begunAt = monotonicNow()
      try {
        await this.#once()
      } catch (error) {
        if (this.#stopping) return
        if (monotonicNow() - begunAt > BACK_OFF.most) failures = 0
        const delay = delayAfter(BACK_OFF, ++failures, 0)
        const why = tellError(error)
        this.#tell(
          `deferred work: the jobs of graphile-worker cannot be run here: ${why}; the next try is in ${formatElapsed(delay)}`,
          { error: why, retryInMs: delay },
        )
        await new Promise<void>((resolve) => {
          const cancel = after(ms(delay), resolve, { keepAlive: false })
          this.#wake = () => {
            cancel()
            resolve()
          }
        })
      }
    }
  }

  /** Until graphile-worker ends, asked for or not. */
  async #once(): Promise<void> {
    const { module, connections, store } = await this.#ground()
    const events = new EventEmitter()
    let pulse: JobPulse | null = null
    events.on('pool:create', ({ workerPool }: { readonly workerPool: { readonly id: string } }) => {
      pulse = new JobPulse(store, connections, workerPool.id, this.#options)
    })
    // A look for a job whose answer was lost with its connection may have taken one, which would stay locked for as long as we live. So once the database answers again
    // we begin anew, as another pool of jobs, and give back what this one holds.
    const lostBefore = connections.lost
    let anew = false
    const answered = (): void => {
      if (anew || connections.lost === lostBefore) return
      anew = true
      void this.#runner?.stop().catch(() => {})
    }
    events.on('worker:getJob:empty', answered)
    events.on('job:start', answered)
    const over = Promise.withResolvers<void>()
    const hasBegun = after(BEGIN_LIMIT, () => connections.breakAll(), { keepAlive: false })
    let hasEnded: Cancel = () => {}
    onLastWorker(events, () => {
      hasEnded = after(ENDS_LIMIT, over.resolve, { keepAlive: false })
    })
    try {
      const runner = await module.run({
        pgPool: connections.pool,
        logger: new module.Logger(() => (level, message, meta) => this.#hear(level, message, meta?.failure === true)),
        events,
        // No job is taken before others know of us: else nobody would miss us if we died with it.
        forbiddenFlags: () => (pulse === null || pulse.isKnown ? null : pulse.beat().then(() => null)),
        ...this.#how(),
      })
      hasBegun()
      this.#runner = runner
      if (this.#stopping || anew) void runner.stop().catch(() => {})
      runner.promise.then(over.resolve, over.reject)
      await over.promise
    } finally {
      hasBegun()
      hasEnded()
      // Where it has not ended by itself: it keeps a clock of its own.
      void this.#runner?.stop().catch(() => {})
      this.#runner = null
      await (pulse as JobPulse | null)?.end(ms(5_000)).catch(() => {})
    }
    if (!this.#stopping && !anew) throw new Error('graphile-worker has ended by itself')
  }

  #how(): Omit<RunOptions, 'pgPool' | 'logger' | 'events' | 'forbiddenFlags'> {
    const { schema, concurrency, pollInterval } = this.#options
    const stop = this.#stop.signal
    return {
      schema,
      taskList: Object.fromEntries(
        this.#tasks.map((task) => [task.name, (payload, helpers) => task.run(payload, helpers, stop)]),
      ),
      parsedCronItems: [],
      concurrency,
      pollInterval,
      noHandleSignals: true,
      gracefulShutdownAbortTimeout: 5_000,
      preset: { worker: HEARD_ENDS },
    }
  }

  /** A job that failed is told by its queue. */
  #hear(level: string, message: string, failed: boolean): void {
    if (failed || this.#stopping || (level !== 'error' && level !== 'warning')) return
    const now = monotonicNow()
    if (now - this.#toldAt < TELL_EVERY) return
    this.#toldAt = now
    const error = tellError(message)
    this.#tell(`deferred work: graphile-worker: ${error}`, { error })
  }

  #tell(message: string, details: QueueEvent['details']): void {
    this.#options.tell({ type: 'failing', severity: 'warn', message, details })
  }
}

/** Calls `run` when all workers of a pool of jobs have ended: each works on one job at a time. */
function onLastWorker(events: EventEmitter, run: () => void): void {
  let workers = 0
  events.on('worker:create', () => void workers++)
  events.on('worker:stop', () => {
    if (--workers === 0) run()
  })
}
