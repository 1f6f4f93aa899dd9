import { checkOptions, type OptionNames } from '../../errors/check-options.ts'
import { InvalidOptionError } from '../../errors/punctual-error.ts'
import { after } from '../../resilience/clock.ts'
import { type Duration, type Milliseconds, ms, readCount, readDuration } from '../../resilience/duration.ts'
import { SerialQueue } from '../../resilience/serial-queue.ts'
import type { QueueTransport, TransportConnection, TransportedQueue } from '../queue-options.ts'
import type { PgPool } from './graphile-module.ts'
import { JobEnvironment } from './job-environment.ts'
import { JobRunner, type RunnerOptions } from './job-runner.ts'
import { JobTask } from './job-task.ts'

export interface GraphileWorkerOptions {
  /** The schema of graphile-worker's tables. Default `graphile_worker`. */
  readonly schema?: string
  /** Whether this process runs jobs, or only adds them. Default true. */
  readonly run?: boolean
  /** Jobs that this process runs at a time; `queueConcurrency` limits them too. Default 1. */
  readonly concurrency?: number
  /** How often to look for jobs without a notification, such as retries. Default `2s`. */
  readonly pollInterval?: Duration
  /** How often this process writes a heartbeat. Default `10s`. */
  readonly heartbeat?: Duration
  /** Time without a heartbeat after which jobs are released; at least three. Default `45s`. */
  readonly releaseAfter?: Duration
}

const OPTIONS: OptionNames<GraphileWorkerOptions> = {
  schema: true,
  run: true,
  concurrency: true,
  pollInterval: true,
  heartbeat: true,
  releaseAfter: true,
}

/** Connections besides one for each job: for LISTEN and for heartbeats. */
const EXTRA_CONNECTIONS = 2

/**
 * A transport that puts the items of a queue on graphile-worker, where any machine with the same
 * database can handle them: `durableQueue(name, handler, { transport: graphileWorker(pool) })`.
 *
 * Items go to the spool first, so `push` still takes microseconds, and become jobs in batches
 * through `pool`. Jobs run over connections of their own with the same options, so that requests
 * which take all of `pool` do not stop the heartbeats.
 *
 * @param pool a `pg.Pool`, guarded or not, that connects to PostgreSQL directly or through a
 * bouncer in session mode: graphile-worker listens for notifications
 * @throws InvalidOptionError when `pool` is not a pool of pg, and for options that are invalid
 */
export function graphileWorker(pool: PgPool, options: GraphileWorkerOptions = {}): QueueTransport {
  const of = 'graphileWorker'
  checkOptions(of, options, OPTIONS)
  if (typeof pool?.query !== 'function' || typeof pool.options !== 'object') {
    throw new InvalidOptionError(of, 'pool', pool, 'must be a pg.Pool: new pg.Pool({ connectionString })')
  }
  const heartbeat = readDuration(of, 'heartbeat', options.heartbeat ?? '10s')
  const releaseAfter = readDuration(of, 'releaseAfter', options.releaseAfter ?? '45s')
  if (!Number.isFinite(releaseAfter) || heartbeat <= 0 || releaseAfter < 3 * heartbeat) {
    const must = `must be bounded and at least three times heartbeat (${options.heartbeat ?? '10s'}), otherwise jobs of live processes are released`
    throw new InvalidOptionError(of, 'releaseAfter', options.releaseAfter, must)
  }
  const { schema = 'graphile_worker', run = true } = options
  const pollInterval = readDuration(of, 'pollInterval', options.pollInterval ?? '2s')
  const concurrency = readCount(of, 'concurrency', options.concurrency ?? 1, 1)
  return new GraphileTransport(pool, run, { schema, concurrency, pollInterval, heartbeat, releaseAfter })
}

class GraphileTransport implements QueueTransport {
  readonly #run: boolean
  readonly #options: Omit<RunnerOptions, 'events'>
  readonly #environment: JobEnvironment
  /** Of the queues whose handlers may be called. */
  readonly #tasks = new Set<JobTask>()
  /** Of the queues that may forward. */
  readonly #open = new Set<JobTask>()
  #runner: { readonly runner: JobRunner; readonly tasks: ReadonlySet<JobTask> } | null = null
  /** Runners start and stop one after the other. */
  readonly #changes = new SerialQueue()

  constructor(pool: PgPool, run: boolean, options: Omit<RunnerOptions, 'events'>) {
    this.#run = run
    this.#options = options
    const { schema, concurrency } = options
    this.#environment = new JobEnvironment(pool, {
      schema,
      maxConnections: concurrency + EXTRA_CONNECTIONS,
      allowExitOnIdle: !run,
    })
  }

  open(queue: TransportedQueue): TransportConnection {
    const task = new JobTask(queue, this.#environment)
    this.#open.add(task)
    return {
      start: () => {
        this.#tasks.add(task)
        // Other queues start at the same time, and one runner serves all of them.
        if (this.#run) after(ms(0), () => void this.#updateRunner(this.#options.releaseAfter), { keepAlive: false })
      },
      forward: (items, { ids }) =>
        this.#environment.forward(
          task.name,
          ids,
          items.map((item) => JSON.stringify(item)),
        ),
      report: () => task.report(),
      stop: async (timeout) => {
        this.#tasks.delete(task)
        await this.#updateRunner(timeout)
      },
      close: async (timeout) => {
        this.#open.delete(task)
        if (this.#open.size === 0) await this.#environment.close(timeout)
      },
    }
  }

  /** Stops a runner that serves other queues than it should, and starts one that serves these. */
  #updateRunner(timeout: Milliseconds): Promise<void> {
    return this.#changes.run(async () => {
      const wanted = new Set(this.#tasks)
      const current = this.#runner
      if (current !== null && !isSame(current.tasks, wanted)) {
        this.#runner = null
        await current.runner.stop(timeout)
      }
      const [first] = wanted
      if (this.#run && this.#runner === null && first !== undefined) {
        const options = { ...this.#options, events: first.events }
        this.#runner = { runner: new JobRunner([...wanted], options, this.#environment), tasks: wanted }
      }
    })
  }
}

function isSame<T>(one: ReadonlySet<T>, other: ReadonlySet<T>): boolean {
  return one.size === other.size && [...one].every((element) => other.has(element))
}
