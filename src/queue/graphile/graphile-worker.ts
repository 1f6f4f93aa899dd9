import { InvalidOptionError } from '../../errors/invalid-option-error.ts'
import { WaitTimeoutError } from '../../resilience/abort-reason.ts'
import { after } from '../../resilience/clock.ts'
import { type Duration, type Milliseconds, ms, readCount, readDuration } from '../../resilience/duration.ts'
import { withTimeout } from '../../resilience/with-timeout.ts'
import type { QueueContext } from '../call-handler.ts'
import type { QueueTransport, ViaLink, ViaQueue } from '../via.ts'
import type { GraphileModule, PgPool } from './graphile-shapes.ts'
import { JobConnections } from './job-connections.ts'
import { JobRunner, type RunnerGround, type RunnerOptions } from './job-runner.ts'
import { JobStore } from './job-store.ts'
import { loadGraphileWorker } from './load-graphile-worker.ts'
import { QueueTask } from './queue-task.ts'

export interface GraphileWorkerOptions {
  /** The schema of graphile-worker's tables. Default `graphile_worker`. */
  readonly schema?: string
  /** Whether this process carries out jobs too, or only adds them. Default true. */
  readonly run?: boolean
  /** Jobs that this process carries out at a time; `queueConcurrency` bounds them too. Default 1. */
  readonly concurrency?: number
  /** How often it is looked for jobs that nobody announced: those that are to be tried again. Default `2s`. */
  readonly pollInterval?: Duration
  /** How often this process says that it lives. Default `10s`. */
  readonly heartbeat?: Duration
  /** After so long a silence its jobs are given to others; at least three heartbeats. Default `45s`. */
  readonly releaseAfter?: Duration
}

/** Connections of our own beside one for each job: to listen, and to say that we live. */
const OWN_CONNECTIONS = 2
/** Making the tables, graphile-worker's too. */
const PREPARE_LIMIT = '60s'

/**
 * Puts what is deferred on graphile-worker, where any machine with the same database may carry it out: `durableQueue(name, handler, { transport: graphileWorker(pool) })`. Items go
 * to the spool first, so the caller still pays microseconds, and are added as jobs in batches through `pool`. The jobs are carried out over connections of our own with
 * the same options, so that requests that take all of `pool` do not make us look dead.
 *
 * @param pool a `pg.Pool`, guarded or not, that leads to PostgreSQL directly or by a bouncer in session mode: graphile-worker listens for notifications
 * @throws InvalidOptionError when `pool` is not a pool of pg, and for options that are invalid
 */
export function graphileWorker(pool: PgPool, options: GraphileWorkerOptions = {}): QueueTransport {
  if (typeof pool?.query !== 'function' || typeof pool.options !== 'object') {
    throw new InvalidOptionError('graphileWorker', 'pool', pool, 'must be a pg.Pool: new pg.Pool({ connectionString })')
  }
  const heartbeat = readDuration('graphileWorker', 'heartbeat', options.heartbeat ?? '10s')
  const releaseAfter = readDuration('graphileWorker', 'releaseAfter', options.releaseAfter ?? '45s')
  if (!Number.isFinite(releaseAfter) || heartbeat <= 0 || releaseAfter < 3 * heartbeat) {
    const must = `must be bounded and at least three times heartbeat (${options.heartbeat ?? '10s'}), otherwise jobs of live processes are released`
    throw new InvalidOptionError('graphileWorker', 'releaseAfter', options.releaseAfter, must)
  }
  const { schema = 'graphile_worker', run = true } = options
  const pollInterval = readDuration('graphileWorker', 'pollInterval', options.pollInterval ?? '2s')
  const concurrency = readCount('graphileWorker', 'concurrency', options.concurrency ?? 1, 1)
  return new GraphileVia(pool, run, { schema, concurrency, pollInterval, heartbeat, releaseAfter })
}

class GraphileVia implements QueueTransport {
  readonly #pool: PgPool
  readonly #run: boolean
  readonly #options: Omit<RunnerOptions, 'tell'>
  readonly #store: JobStore
  /** Of the queues whose handlers may be called. */
  readonly #tasks = new Set<QueueTask>()
  /** Of the queues that may forward. */
  readonly #open = new Set<QueueTask>()
  #module: Promise<GraphileModule>
  #own: JobConnections | null = null
  #ground: Promise<RunnerGround> | null = null
  #runner: { readonly runner: JobRunner; readonly tasks: ReadonlySet<QueueTask> } | null = null
  /** Runners begin and end one after the other. */
  #turn: Promise<void> = Promise.resolve()

  constructor(pool: PgPool, run: boolean, options: Omit<RunnerOptions, 'tell'>) {
    this.#pool = pool
    this.#run = run
    this.#options = options
    this.#store = new JobStore(options.schema)
    // While the app boots: it takes the event loop for some 80 ms. Whoever needs it hears of a failure.
    this.#module = loadGraphileWorker()
    this.#module.catch(() => {})
  }

  open(queue: ViaQueue): ViaLink {
    const task = new QueueTask(queue, (id) => this.#store.forget(this.#connections().pool, id))
    this.#open.add(task)
    return {
      start: () => {
        this.#tasks.add(task)
        // Other queues are started in the same moment; one runner serves all of them.
        if (this.#run) after(ms(0), () => void this.#renew(this.#options.releaseAfter), { keepAlive: false })
      },
      forward: (items, context) => this.#forward(task, items, context),
      report: () => task.report(),
      stop: async (limit) => {
        this.#tasks.delete(task)
        await this.#renew(limit)
      },
      close: async (limit) => {
        this.#open.delete(task)
        if (this.#open.size === 0) await this.#endOwn(limit)
      },
    }
  }

  async #forward(task: QueueTask, items: readonly unknown[], { ids }: QueueContext): Promise<void> {
    await this.#prepared()
    const texts = items.map((item) => JSON.stringify(item))
    await this.#store.forward(this.#pool, task.name, ids, texts)
  }

  /** Lets the runner that is there end if it serves others than it should, and begins one that does. */
  #renew(limit: Milliseconds): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      const wanted = new Set(this.#tasks)
      const had = this.#runner
      if (had !== null && !isSame(had.tasks, wanted)) {
        this.#runner = null
        await had.runner.stop(limit)
      }
      const [first] = wanted
      if (this.#run && this.#runner === null && first !== undefined) {
        const options = { ...this.#options, tell: first.queue.tell }
        this.#runner = { runner: new JobRunner([...wanted], options, () => this.#prepared()), tasks: wanted }
      }
    })
    return this.#turn
  }

  /** Loads graphile-worker and sees to the tables, once; what fails is tried again by the next who asks. */
  #prepared(): Promise<RunnerGround> {
    this.#ground ??= withTimeout('preparing graphile-worker', PREPARE_LIMIT, () => this.#prepare(), {
      parent: null,
    }).catch((error: unknown) => {
      this.#ground = null
      // The next try must not wait for the same answer.
      if (error instanceof WaitTimeoutError) this.#own?.breakAll()
      throw error
    })
    return this.#ground
  }

  async #prepare(): Promise<RunnerGround> {
    const module = await this.#module.catch(() => {
      this.#module = loadGraphileWorker()
      return this.#module
    })
    const connections = this.#connections()
    const { pool } = connections
    const logger = new module.Logger(() => () => {})
    await module.runMigrations({ pgPool: pool, schema: this.#options.schema, logger })
    await this.#store.prepare(pool)
    return { module, connections, store: this.#store }
  }

  #connections(): JobConnections {
    this.#own ??= new JobConnections(this.#pool, this.#options.concurrency + OWN_CONNECTIONS, !this.#run)
    return this.#own
  }

  async #endOwn(limit: Milliseconds): Promise<void> {
    const own = this.#own
    this.#own = null
    this.#ground = null
    await own?.end(limit)
  }
}

function isSame<T>(some: ReadonlySet<T>, others: ReadonlySet<T>): boolean {
  return some.size === others.size && [...some].every((one) => others.has(one))
}
