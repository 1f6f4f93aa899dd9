import type { DeferredModuleReport, RoutesReport } from '../diagnostics/modules/routes-report.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { LoadBudget } from './load-budget.ts'
import { RequestPulse } from './request-pulse.ts'

/** A load that has not ended by then waits for something (a connection, a file): the next begins beside it. Milliseconds of a loop that turns. */
const LANE_LIMIT = ms(250)
/** No request for so long is a quiet moment, in milliseconds. */
const QUIET = 50
const LOOK_EVERY = ms(10)
/** Turns of the loop between two loads: what has arrived meanwhile is accepted in the first, read in the second, and answered by the third. */
const TURNS = 3
const MOST_REPORTED = 20

/** What the queue needs of a module that it has loaded. */
export interface QueuedModule {
  /** It may be loaded now. */
  readonly isDue: boolean
  /** Somebody waits for it. */
  readonly isWanted: boolean
  /** It has been loaded, or has failed once. */
  readonly isSettled: boolean
  onWanted: (() => void) | null
  onSettled: (() => void) | null
  load(): Promise<void>
  report(): DeferredModuleReport
}

/**
 * Loads the deferred modules of this process: those that requests wait for first, in the order in which they were asked for, then the others in the
 * order in which they were mounted; one at a time, because an import is synchronous for its most part and blocks the loop.
 */
export class ModuleQueue {
  readonly #modules: QueuedModule[] = []
  /** Asked for and not begun. */
  readonly #wanted = new Set<QueuedModule>()
  readonly #pulse = new RequestPulse()
  readonly #budget = new LoadBudget()
  readonly #onSettled: () => void
  #inBackground = false
  #hurrying = false
  #running = false
  #startedAt: number | null = null
  #settledIn: number | null = null
  #loadingMs = 0

  /** @param onSettled called when every module has been loaded, or has failed for the first time */
  constructor(onSettled: () => void = () => {}) {
    this.#onSettled = onSettled
  }

  add(module: QueuedModule): void {
    this.#modules.push(module)
    this.#settledIn = null
    module.onWanted = () => {
      if (module.isWanted) this.#wanted.add(module)
      void this.#run()
    }
    module.onSettled = () => this.#settled()
    if (this.#inBackground) void this.#run()
  }

  /**
   * From now on everything is loaded, also what nobody asks for.
   *
   * @param hurry nobody is served yet, so there is nothing to stand back for
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
        .sort((a, b) => rank(a.state) - rank(b.state) || (b.tookMs ?? 0) - (a.tookMs ?? 0))
        .slice(0, MOST_REPORTED),
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      for (let next = await this.#next(); next !== undefined; next = await this.#next()) await this.#load(next)
    } finally {
      this.#running = false
      this.#pulse.stop()
    }
  }

  /** What is to be loaded now; waits for a quiet moment if nobody waits for it. */
  async #next(): Promise<QueuedModule | undefined> {
    for (;;) {
      await turns()
      const wanted = this.#takeWanted()
      if (wanted !== undefined) return wanted
      const next = this.#inBackground ? this.#modules.find(({ isDue }) => isDue) : undefined
      if (next === undefined || this.#hurrying || (await this.#isQuiet())) return this.#takeWanted() ?? next
    }
  }

  #takeWanted(): QueuedModule | undefined {
    for (const module of this.#wanted) {
      this.#wanted.delete(module)
      if (module.isDue) return module
    }
    return undefined
  }

  /** True at a quiet moment, or when the budget for waiting is spent; false as soon as somebody wants something. */
  async #isQuiet(): Promise<boolean> {
    this.#pulse.look()
    while (this.#wanted.size === 0) {
      if (this.#budget.left <= 0 || this.#pulse.quietFor() >= QUIET) return true
      const before = monotonicNow()
      await new Promise<void>((resolve) => after(LOOK_EVERY, resolve, { keepAlive: false }))
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
    await new Promise<void>((resolve) => {
      const cancel = after(LANE_LIMIT, resolve, { keepAlive: false })
      void done.then(() => {
        cancel()
        resolve()
      })
    })
  }

  #settled(): void {
    if (this.#settledIn !== null || !this.#modules.every(({ isSettled }) => isSettled)) return
    this.#settledIn = Math.round(monotonicNow() - (this.#startedAt ?? monotonicNow()))
    this.#onSettled()
  }
}

const RANKS = { failed: 0, loading: 1, loaded: 2, waiting: 3 } as const

function rank(state: keyof typeof RANKS): number {
  return RANKS[state]
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
}
