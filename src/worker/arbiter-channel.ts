import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { type ModuleMetric, type ReportedMetric, reportMetrics } from '../diagnostics/metric-definition.ts'
import type { FromMain, MainEnvelope } from '../ipc/messages.ts'
import { publishWorkerChannel, type WorkerChannel } from '../ipc/worker-channel.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { promiseAtMost, waitAtMost } from '../resilience/wait-at-most.ts'

interface ModuleReport {
  readonly snapshot: () => unknown
  readonly metrics: readonly ModuleMetric<unknown>[]
}

const REPORT_INTERVAL = ms(1_000)
/** Messages kept for a topic without a listener. */
const MAX_UNRECEIVED = 1_000
/**
 * What the modules get for their drain at least, in milliseconds, however long the requests took.
 */
const MIN_DRAIN_TIME = 1_000
/**
 * The worker exits this long before the arbiter would kill it at `stopTimeout`, in milliseconds.
 */
const KILL_MARGIN = 250
/** How long the last message to the arbiter may delay the exit of the process. */
const FLUSH_TIMEOUT = ms(500)

interface DrainModule {
  readonly drain: (timeout: number) => Promise<void>
  /** What is left to do. */
  readonly waitingFor: () => readonly string[]
}

/**
 * The worker's end of the channel between the toolkit and the arbiter. It costs nothing until a
 * module uses it.
 */
export class ArbiterChannel implements WorkerChannel {
  readonly worker: number
  readonly stateDir: string
  readonly set: Readonly<Record<string, string>>
  readonly #inFlight: () => number
  readonly #settings: WorkerConfig['settings']
  readonly #listeners = new Map<string, Set<(message: unknown) => void>>()
  readonly #unreceived = new Map<string, unknown[]>()
  readonly #reports = new Map<string, ModuleReport>()
  readonly #drains = new Map<string, DrainModule>()
  #stopReporting: Cancel | null = null
  #lookedAt = 0
  #usage = performance.eventLoopUtilization()
  #utilisation = 0
  #drainingSince = 0

  constructor({ id, settings, set }: WorkerConfig, inFlight: () => number) {
    this.worker = id
    this.stateDir = resolve(settings.stateDir)
    this.set = set
    this.#settings = settings
    this.#inFlight = inFlight
    publishWorkerChannel(this)
  }

  send(topic: string, message: unknown): void {
    sendToArbiter({ type: 'relay', to: 'arbiter', topic, message })
  }

  broadcast(topic: string, message: unknown): void {
    sendToArbiter({ type: 'relay', to: 'others', topic, message })
  }

  subscribe(topic: string, listener: (message: unknown) => void): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set()
    this.#listeners.set(topic, listeners.add(listener))
    const unreceived = this.#unreceived.get(topic) ?? []
    this.#unreceived.delete(topic)
    for (const message of unreceived) listener(message)
    return () => listeners.delete(listener)
  }

  report<Report>(topic: string, snapshot: () => Report, metrics: readonly ModuleMetric<Report>[] = []): () => void {
    const report: ModuleReport = { snapshot, metrics: metrics as readonly ModuleMetric<unknown>[] }
    this.#reports.set(topic, report)
    this.#stopReporting ??= every(REPORT_INTERVAL, () => this.#sendReports())
    return () => {
      if (this.#reports.get(topic) === report) this.#reports.delete(topic)
    }
  }

  onDrain(name: string, drain: DrainModule['drain'], waitingFor: DrainModule['waitingFor'] = () => []): () => void {
    const module: DrainModule = { drain, waitingFor }
    this.#drains.set(name, module)
    return () => {
      if (this.#drains.get(name) === module) this.#drains.delete(name)
    }
  }

  load(): { readonly utilisation: number; readonly inFlight: number } {
    const now = monotonicNow()
    if (now - this.#lookedAt >= REPORT_INTERVAL) {
      const usage = performance.eventLoopUtilization()
      this.#utilisation = performance.eventLoopUtilization(usage, this.#usage).utilization
      this.#usage = usage
      this.#lookedAt = now
    }
    return { utilisation: this.#utilisation, inFlight: this.#inFlight() }
  }

  /** Passes a message for this worker to the listeners of its topic. */
  receive(topic: string, message: unknown): void {
    const listeners = this.#listeners.get(topic)
    if (listeners !== undefined && listeners.size > 0) {
      for (const listener of listeners) listener(message)
      return
    }
    const unreceived = this.#unreceived.get(topic) ?? []
    if (unreceived.length === MAX_UNRECEIVED) unreceived.shift()
    unreceived.push(message)
    this.#unreceived.set(topic, unreceived)
  }

  /**
   * Runs the drain of the modules, after that of the requests, within what is left of
   * `drainTimeout`. If it takes longer than a second, the arbiter learns what is left to do.
   */
  async drain(): Promise<void> {
    if (this.#drains.size > 0) {
      const { drainTimeout, stopTimeout } = this.#settings
      const past = monotonicNow() - this.#drainingSince
      const left = Math.max(MIN_DRAIN_TIME, drainTimeout - past)
      const timeout = Math.max(0, Math.min(left, stopTimeout - past - KILL_MARGIN))
      const modules = [...this.#drains.values()]
      const end = monotonicNow() + timeout
      let hasReported = false
      const stopReporting = every(REPORT_INTERVAL, () => {
        const waitingFor = modules.flatMap((module) => module.waitingFor())
        if (waitingFor.length === 0) return
        hasReported = true
        const left = Math.max(0, Math.round(end - monotonicNow()))
        sendToArbiter({ type: 'drain-waiting', waitingFor, leftMs: Number.isFinite(left) ? left : null })
      })
      await waitAtMost(ms(timeout), Promise.allSettled(modules.map(({ drain }) => drain(timeout))))
      stopReporting()
      if (hasReported) sendToArbiter({ type: 'drain-waiting', waitingFor: [], leftMs: 0 })
    }
    this.#sendReports()
  }

  /** Called when the order to drain arrives: the timeouts count from here. */
  drainStarted(): void {
    this.#drainingSince ||= monotonicNow()
  }

  #sendReports(): void {
    if (this.#reports.size === 0) return
    const modules: Record<string, unknown> = {}
    const described: ReportedMetric[] = []
    for (const [topic, { snapshot, metrics }] of this.#reports) {
      const report = snapshot()
      modules[topic] = report
      described.push(...reportMetrics(metrics, report))
    }
    sendToArbiter({ type: 'modules', modules, metrics: described })
  }
}

/** Sends a message to the arbiter over the IPC channel. Without an arbiter it does nothing. */
export function sendToArbiter(message: FromMain): void {
  const envelope: MainEnvelope = { punctual: message }
  if (process.connected) process.send?.(envelope, undefined, undefined, () => {})
}

/** The same; resolves when the message has been written, or after 500 ms. */
export function sendToArbiterAndFlush(message: FromMain): Promise<void> {
  return promiseAtMost<void>(FLUSH_TIMEOUT, (resolve) => {
    if (!process.connected || process.send === undefined) return resolve()
    process.send({ punctual: message } satisfies MainEnvelope, undefined, undefined, () => resolve())
  })
}
