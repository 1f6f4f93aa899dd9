import { EventEmitter } from 'node:events'
import { LogThrottle } from '../../diagnostics/log-throttle.ts'
import { ShutdownError } from '../../resilience/abort-reason.ts'
import { delayAfter } from '../../resilience/back-off.ts'
import { after, type Cancel, monotonicNow } from '../../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../../resilience/duration.ts'
import { promiseAtMost } from '../../resilience/wait-at-most.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import { formatError } from '../queue-events.ts'
import type { GraphileRunner, RunOptions } from './graphile-module.ts'
import type { JobEnvironment } from './job-environment.ts'
import { type HeartbeatOptions, JobHeartbeat } from './job-heartbeat.ts'
import type { JobTask } from './job-task.ts'

/** Between two attempts to start. */
const BACK_OFF = { jitter: 'full', initialDelay: 500, maxDelay: 30_000, random: Math.random } as const
/** Share of the timeout of `stop` after which running jobs are aborted. */
const ABORT_SHARE = 0.8
/**
 * graphile-worker 0.18 writes the end of a job without awaiting it: a failure is an unhandled
 * rejection that ends the process, and the job stays locked. In batches, even without a delay, a
 * failure ends the pool of jobs, and a new one starts.
 */
const BATCHED_ENDS = { completeJobBatchDelay: 0, failJobBatchDelay: 0 } as const
/** For what graphile-worker queries before its first job. */
const START_TIMEOUT = ms(60_000)
/**
 * For writing the ends of jobs when no more jobs run. graphile-worker 0.18 miscounts them after one
 * has failed beside another, and would wait without end, with all its jobs locked.
 */
const ENDS_TIMEOUT = ms(10_000)
const LEAVE_TIMEOUT = ms(5_000)
/** Between two lines about errors of graphile-worker. */
const LOG_INTERVAL = ms(10_000)

export interface RunnerOptions extends HeartbeatOptions {
  readonly schema: string
  readonly concurrency: number
  readonly pollInterval: Milliseconds
}

/** Runs the jobs of some queues in this process, and restarts graphile-worker when it ends. */
export class JobRunner {
  readonly #tasks: readonly JobTask[]
  readonly #options: RunnerOptions
  readonly #environment: JobEnvironment
  readonly #abort = new AbortController()
  /** Ends the wait for the next start. */
  #wake = (): void => {}
  #isStopping = false
  #runner: GraphileRunner | null = null
  readonly #ended: Promise<void>
  readonly #throttle = new LogThrottle(LOG_INTERVAL)

  constructor(tasks: readonly JobTask[], options: RunnerOptions, environment: JobEnvironment) {
    this.#tasks = tasks
    this.#options = options
    this.#environment = environment
    this.#ended = this.#run()
  }

  /** Takes no more jobs, waits for the running ones, then aborts them. Never rejects. */
  async stop(timeout: Milliseconds): Promise<void> {
    this.#isStopping = true
    this.#wake()
    const cancel = after(ms(timeout * ABORT_SHARE), () => this.#abort.abort(new ShutdownError()), { keepAlive: false })
    void this.#runner?.stop().catch(() => {})
    await withTimeout('the jobs of this process', timeout, () => this.#ended, { parent: null }).catch(() => {})
    cancel()
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#isStopping) {
      const begunAt = monotonicNow()
      try {
        await this.#runOnce()
      } catch (error) {
        if (this.#isStopping) return
        if (monotonicNow() - begunAt > BACK_OFF.maxDelay) failures = 0
        const retryInMs = delayAfter(BACK_OFF, ++failures, 0)
        const why = formatError(error)
        this.#options.events.emit('failing', `cannot run jobs, retrying in ${formatElapsed(retryInMs)}: ${why}`, {
          error: why,
          retryInMs,
        })
        const wait = (resolve: () => void): void => {
          this.#wake = resolve
        }
        await promiseAtMost<void, void>(ms(retryInMs), wait, () => {}, { keepAlive: false })
      }
    }
  }

  /** Runs graphile-worker until it ends, stopped or by itself. */
  async #runOnce(): Promise<void> {
    const { module, connections } = await this.#environment.prepare()
    const { store } = this.#environment
    const events = new EventEmitter()
    let heartbeat: JobHeartbeat | null = null
    events.on('pool:create', ({ workerPool }: { readonly workerPool: { readonly id: string } }) => {
      heartbeat = new JobHeartbeat(store, connections, workerPool.id, this.#options)
    })
    // A query for a job whose answer was lost with its connection may have locked one, for as long
    // as this pool exists. So once the database answers again, another pool starts, and this one
    // releases its jobs.
    const lostBefore = connections.lost
    let isRestarting = false
    const onAnswer = (): void => {
      if (isRestarting || connections.lost === lostBefore) return
      isRestarting = true
      void this.#runner?.stop().catch(() => {})
    }
    events.on('worker:getJob:empty', onAnswer)
    events.on('job:start', onAnswer)
    const over = Promise.withResolvers<void>()
    const cancelStart = after(START_TIMEOUT, () => connections.breakAll(), { keepAlive: false })
    let cancelEnds: Cancel = () => {}
    onLastWorker(events, () => {
      cancelEnds = after(ENDS_TIMEOUT, over.resolve, { keepAlive: false })
    })
    try {
      const runner = await module.run({
        pgPool: connections.pool,
        logger: new module.Logger(() => (level, message, meta) => this.#log(level, message, meta?.failure === true)),
        events,
        // No job is taken before the first heartbeat: its lock would outlive this process.
        forbiddenFlags: () => (heartbeat === null || heartbeat.isKnown ? null : heartbeat.beat().then(() => null)),
        ...this.#runOptions(),
      })
      cancelStart()
      this.#runner = runner
      if (this.#isStopping || isRestarting) void runner.stop().catch(() => {})
      runner.promise.then(over.resolve, over.reject)
      await over.promise
    } finally {
      cancelStart()
      cancelEnds()
      // If it has not ended by itself: it has timers of its own.
      void this.#runner?.stop().catch(() => {})
      this.#runner = null
      await (heartbeat as JobHeartbeat | null)?.end(LEAVE_TIMEOUT).catch(() => {})
      const interrupted = this.#tasks.flatMap((task) => task.takeInterrupted())
      if (interrupted.length > 0) {
        const restore = (): Promise<void> => store.restoreAttempts(connections.pool, interrupted)
        await withTimeout('restoring attempts', LEAVE_TIMEOUT, restore, { parent: null }).catch(() => {})
      }
    }
    if (!this.#isStopping && !isRestarting) throw new Error('graphile-worker ended by itself')
  }

  #runOptions(): Omit<RunOptions, 'pgPool' | 'logger' | 'events' | 'forbiddenFlags'> {
    const { schema, concurrency, pollInterval } = this.#options
    const stop = this.#abort.signal
    return {
      schema,
      taskList: Object.fromEntries(
        this.#tasks.map((task) => [task.name, (payload, helpers) => task.run(payload, helpers, stop)]),
      ),
      parsedCronItems: [],
      concurrency,
      pollInterval,
      noHandleSignals: true,
      gracefulShutdownAbortTimeout: LEAVE_TIMEOUT,
      preset: { worker: BATCHED_ENDS },
    }
  }

  /** The failure of a job is reported by its queue. */
  #log(level: string, message: string, isJobFailure: boolean): void {
    if (isJobFailure || this.#isStopping || (level !== 'error' && level !== 'warning')) return
    if (!this.#throttle.shouldLog()) return
    const error = formatError(message)
    this.#options.events.emit('failing', `graphile-worker: ${error}`, { error })
  }
}

/** Calls `run` when all workers of a pool of jobs have ended. Each runs one job at a time. */
function onLastWorker(events: EventEmitter, run: () => void): void {
  let workers = 0
  events.on('worker:create', () => void workers++)
  events.on('worker:stop', () => {
    if (--workers === 0) run()
  })
}
