import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { workerBoot, workerChannel } from '../ipc/worker-channel.ts'
import { after, afterIo, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { waitAtMost } from '../resilience/wait-at-most.ts'
import { type DeferredModuleReport, ROUTES_TOPIC, type RoutesReport, routesMetrics } from './routes-report.ts'

/**
 * A load that takes longer is waiting for something (a connection, a file), so the next one starts.
 */
const LANE_TIMEOUT = ms(250)
/** Milliseconds without a request that count as a quiet moment. */
const QUIET_AFTER = 50
const QUIET_CHECK_INTERVAL = ms(10)
/**
 * Turns of the event loop between two loads: one to accept connections, one to read requests, one
 * to answer them.
 */
const TURNS = 3
const MAX_REPORTED = 20

/** A deferred module as the queue sees it. */
export interface QueuedModule {
  /** It may be loaded now. */
  readonly isDue: boolean
  /** A request waits for it. */
  readonly isRequested: boolean
  /** It has been loaded, or has failed at least once. */
  readonly isSettled: boolean
  onRequested: (() => void) | null
  onSettled: (() => void) | null
  load(): Promise<void>
  report(): DeferredModuleReport
}

/** The deferred modules of this process. */
let processQueue: ModuleQueue | null = null

/** Adds a module that is loaded after the app is ready, or when a request needs it. */
export function deferModule(module: QueuedModule): void {
  processQueue ??= openQueue()
  processQueue.add(module)
}

function openQueue(): ModuleQueue {
  const boot = workerBoot()
  const release = boot?.hold() ?? (() => {})
  const queue = new ModuleQueue(release)
  workerChannel()?.report(ROUTES_TOPIC, () => queue.report(), routesMetrics)
  if (boot === null) onListening(() => queue.loadAll(false))
  else boot.onServing((ready) => queue.loadAll(!ready))
  return queue
}

/** Published by Node when a server is listening. */
const LISTENING = 'tracing:net.server.listen:asyncEnd'

/** Outside of `punctual run` an app is ready when its first server is listening. */
function onListening(listener: () => void): void {
  const listening = (): void => {
    unsubscribe(LISTENING, listening)
    listener()
  }
  subscribe(LISTENING, listening)
}

/**
 * Loads deferred modules: first those that requests wait for, in the order of demand, then the
 * others in the order in which they were added; one at a time, because most of an import is
 * synchronous and blocks the event loop.
 */
export class ModuleQueue {
  readonly #modules: QueuedModule[] = []
  /** Requested, and not being loaded. */
  readonly #requested = new Set<QueuedModule>()
  readonly #activity = new RequestActivity()
  readonly #budget = new YieldBudget()
  readonly #onSettled: () => void
  #inBackground = false
  #hurrying = false
  #running = false
  #startedAt: number | null = null
  #settledIn: number | null = null
  #loadingMs = 0

  /** @param onSettled called when every module has been loaded or has failed once */
  constructor(onSettled: () => void = () => {}) {
    this.#onSettled = onSettled
  }

  add(module: QueuedModule): void {
    this.#modules.push(module)
    this.#settledIn = null
    module.onRequested = () => {
      if (module.isRequested) this.#requested.add(module)
      void this.#run()
    }
    module.onSettled = () => this.#settled()
    if (this.#inBackground) void this.#run()
  }

  /**
   * Starts loading all modules, also those that no request needs.
   *
   * @param hurry there is no traffic to yield to, because the worker is not ready yet
   */
  loadAll(hurry: boolean): void {
    this.#inBackground = true
    this.#hurrying = hurry
    this.#startedAt ??= monotonicNow()
    void this.#run()
  }

  report(): RoutesReport {
    const all = this.#modules.map((module) => module.report())
    const count = (state: (typeof all)[number]['state']): number => all.filter((one) => one.state === state).length
    return {
      waiting: count('waiting'),
      loading: count('loading'),
      loaded: count('loaded'),
      failed: count('failed'),
      allSettledInMs: this.#settledIn,
      yieldedMs: Math.round(this.#budget.spent),
      loadingMs: Math.round(this.#loadingMs),
      demanded: all.reduce((sum, { demanded }) => sum + demanded, 0),
      modules: all
        .filter(({ state }) => state !== 'waiting')
        .sort((a, b) => orderOf(a.state) - orderOf(b.state) || (b.tookMs ?? 0) - (a.tookMs ?? 0))
        .slice(0, MAX_REPORTED),
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      for (let next = await this.#next(); next !== undefined; next = await this.#next()) await this.#load(next)
    } finally {
      this.#running = false
      this.#activity.stop()
    }
  }

  /** The module to be loaded next. Waits for a quiet moment, unless a request needs one. */
  async #next(): Promise<QueuedModule | undefined> {
    for (;;) {
      await turns()
      const requested = this.#takeRequested()
      if (requested !== undefined) return requested
      const next = this.#inBackground ? this.#modules.find(({ isDue }) => isDue) : undefined
      if (next === undefined || this.#hurrying || (await this.#isQuiet())) return this.#takeRequested() ?? next
    }
  }

  #takeRequested(): QueuedModule | undefined {
    for (const module of this.#requested) {
      this.#requested.delete(module)
      if (module.isDue) return module
    }
    return undefined
  }

  /**
   * True in a quiet moment, or when the budget is spent; false as soon as a request needs a module.
   */
  async #isQuiet(): Promise<boolean> {
    this.#activity.watch()
    while (this.#requested.size === 0) {
      if (this.#budget.left <= 0 || this.#activity.quietFor() >= QUIET_AFTER) return true
      const before = monotonicNow()
      await sleep()
      this.#budget.spend(monotonicNow() - before)
    }
    return false
  }

  async #load(module: QueuedModule): Promise<void> {
    const before = monotonicNow()
    this.#startedAt ??= before
    const done = module.load().then(() => {
      const took = monotonicNow() - before
      this.#loadingMs += took
      this.#budget.earn(took)
    })
    await waitAtMost(LANE_TIMEOUT, done, undefined, { keepAlive: false })
  }

  #settled(): void {
    if (this.#settledIn !== null || !this.#modules.every(({ isSettled }) => isSettled)) return
    this.#settledIn = Math.round(monotonicNow() - (this.#startedAt ?? monotonicNow()))
    this.#onSettled()
  }
}

const ORDER = { failed: 0, loading: 1, loaded: 2, waiting: 3 } as const

function orderOf(state: keyof typeof ORDER): number {
  return ORDER[state]
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    await new Promise<void>((resolve) => {
      afterIo(resolve)
    })
  }
}

function sleep(): Promise<void> {
  return new Promise((resolve) => {
    after(QUIET_CHECK_INTERVAL, resolve, { keepAlive: false })
  })
}

/** Milliseconds available at the start, so that a burst right after it is served undisturbed. */
const INITIAL_BUDGET = 400
/** The share of loading time by which the budget grows. */
const BUDGET_SHARE = 0.05

/**
 * Limits how long loading yields to requests. Under steady traffic there is never a quiet moment,
 * and the modules must be loaded all the same. With this budget loading takes less than a fifth
 * longer than without yielding.
 */
class YieldBudget {
  #left = INITIAL_BUDGET
  #spent = 0

  /** Milliseconds. */
  get left(): number {
    return this.#left
  }

  get spent(): number {
    return this.#spent
  }

  earn(loadedFor: number): void {
    this.#left = Math.min(INITIAL_BUDGET, this.#left + loadedFor * BUDGET_SHARE)
  }

  spend(waited: number): void {
    this.#left = Math.max(0, this.#left - waited)
    this.#spent += waited
  }
}

const START = 'http.server.request.start'
const FINISH = 'http.server.response.finish'
/** Milliseconds that a load balancer needs to send the first request to a worker that is ready. */
const FIRST_REQUEST_DELAY = 200

/**
 * Requests of this process, on any server, as Node's diagnostics channels report them; subscribed
 * only while needed.
 */
class RequestActivity {
  #lastAt: number | null = null
  #isWatching = false

  readonly #seen = (): void => {
    this.#lastAt = monotonicNow()
  }

  watch(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    this.#lastAt ??= monotonicNow() + FIRST_REQUEST_DELAY
    subscribe(START, this.#seen)
    subscribe(FINISH, this.#seen)
  }

  stop(): void {
    if (!this.#isWatching) return
    this.#isWatching = false
    unsubscribe(START, this.#seen)
    unsubscribe(FINISH, this.#seen)
  }

  /** Milliseconds since a request last started or finished. */
  quietFor(): number {
    return monotonicNow() - (this.#lastAt ?? Number.NEGATIVE_INFINITY)
  }
}
