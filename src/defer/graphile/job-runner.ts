import { EventEmitter } from 'node:events'
import { ShutdownError } from '../../wait/abort-reason.ts'
import { delayAfter } from '../../wait/back-off.ts'
import { after, monotonicNow } from '../../wait/clock.ts'
import { type Milliseconds, ms, tellDuration } from '../../wait/duration.ts'
import { within } from '../../wait/within.ts'
import { type DeferEvent, tellError } from '../defer-events.ts'
import type { GraphileModule, GraphileRunner, JobHelpers, OwnPool } from './graphile-shapes.ts'
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
  readonly pool: OwnPool
  readonly store: JobStore
  /** How many connections of the pool have broken so far: each may have carried an answer that was not heard. */
  readonly lostConnections: () => number
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
    await within('the jobs of this process', limit, () => this.#ended, { parent: null }).catch(() => {})
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
        this.#tell(
          'failing',
          `deferred work: the jobs of graphile-worker cannot be run here: ${tellError(error)}; the next try is in ${tellDuration(delay)}`,
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
    const { module, pool, store, lostConnections } = await this.#ground()
    let pulse: JobPulse | null = null
    const events = new EventEmitter()
    events.on('pool:create', ({ workerPool }: { readonly workerPool: { readonly id: string } }) => {
      pulse = new JobPulse(store, pool, workerPool.id, this.#options)
    })
    // A look for a job whose answer was lost with its connection may have taken one, which would stay locked for as long as we live. So once the database answers again
    // we begin anew, as another pool of jobs, and give back what this one holds.
    const lostBefore = lostConnections()
    let anew = false
    const answered = (): void => {
      if (anew || lostConnections() === lostBefore) return
      anew = true
      void this.#runner?.stop().catch(() => {})
    }
    events.on('worker:getJob:empty', answered)
    events.on('job:start', answered)
    // No job is taken before others know of us: else nobody would miss us if we died with it.
    const known = (): null | Promise<null> => (pulse === null || pulse.isKnown ? null : pulse.beat().then(() => null))
    try {
      const runner = await module.run({
        pgPool: pool,
        schema: this.#options.schema,
        logger: new module.Logger(() => (level, message, meta) => this.#hear(level, message, meta?.failure === true)),
        taskList: Object.fromEntries(
          this.#tasks.map((task) => [
            task.name,
            (payload: unknown, helpers: JobHelpers) => task.run(payload, helpers, this.#stop.signal),
          ]),
        ),
        parsedCronItems: [],
        concurrency: this.#options.concurrency,
        pollInterval: this.#options.pollInterval,
        noHandleSignals: true,
        gracefulShutdownAbortTimeout: 5_000,
        events,
        forbiddenFlags: known,
        preset: { worker: HEARD_ENDS },
      })
      this.#runner = runner
      if (this.#stopping || anew) void runner.stop().catch(() => {})
      await runner.promise
    } finally {
      this.#runner = null
      await (pulse as JobPulse | null)?.end(ms(5_000)).catch(() => {})
    }
    if (!this.#stopping && !anew) throw new Error('graphile-worker has ended by itself')
  }

  /** A job that failed is told by its queue. */
  #hear(level: string, message: string, failed: boolean): void {
    if (failed || this.#stopping || (level !== 'error' && level !== 'warning')) return
    const now = monotonicNow()
    if (now - this.#toldAt < TELL_EVERY) return
    this.#toldAt = now
    this.#tell('failing', `deferred work: graphile-worker: ${tellError(message)}`)
  }

  #tell(type: DeferEvent['type'], message: string): void {
    this.#options.tell({ type, severity: 'warn', message })
  }
}
