import { resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { FromMain, MainEnvelope } from '../ipc/messages.ts'
import { publishWorkerChannel, type WorkerChannel } from '../ipc/worker-channel.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { type Cancel, every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { promiseAtMost, waitAtMost } from '../resilience/wait-at-most.ts'

const REPORT_EVERY = ms(1_000)
/** Messages a topic that nobody hears yet. */
const MOST_UNHEARD = 1_000
/** What deferred work gets at least, however long the last requests took. */
const LEAST_DRAIN = 1_000
/** A worker that is not gone by the stop limit is killed; it is to be gone so long before, in milliseconds. */
const BEFORE_KILL = 250

type Drained = (limit: number) => Promise<void>

/** The line of this worker, as the toolkit in the app finds it. It costs nothing until a room uses it. */
export class ArbiterChannel implements WorkerChannel {
  readonly worker: number
  readonly stateDir: string
  readonly set: Readonly<Record<string, string>>
  readonly #inFlight: () => number
  readonly #settings: WorkerConfig['settings']
  readonly #listeners = new Map<string, Set<(message: unknown) => void>>()
  readonly #unheard = new Map<string, unknown[]>()
  readonly #reports = new Map<string, () => unknown>()
  readonly #drains = new Map<string, Drained>()
  #stopReporting: Cancel | null = null
  #lookedAt = 0
  #usage = performance.eventLoopUtilization()
  #utilisation = 0
  #leavingSince = 0

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
    const unheard = this.#unheard.get(topic) ?? []
    this.#unheard.delete(topic)
    for (const message of unheard) listener(message)
    return () => listeners.delete(listener)
  }

  report(topic: string, snapshot: () => unknown): () => void {
    this.#reports.set(topic, snapshot)
    this.#stopReporting ??= every(REPORT_EVERY, () => this.#tellReports())
    return () => {
      if (this.#reports.get(topic) === snapshot) this.#reports.delete(topic)
    }
  }

  onDrain(name: string, drained: Drained): () => void {
    this.#drains.set(name, drained)
    return () => {
      if (this.#drains.get(name) === drained) this.#drains.delete(name)
    }
  }

  load(): { readonly utilisation: number; readonly inFlight: number } {
    const now = monotonicNow()
    if (now - this.#lookedAt >= REPORT_EVERY) {
      const usage = performance.eventLoopUtilization()
      this.#utilisation = performance.eventLoopUtilization(usage, this.#usage).utilization
      this.#usage = usage
      this.#lookedAt = now
    }
    return { utilisation: this.#utilisation, inFlight: this.#inFlight() }
  }

  /** Something was said to this worker. */
  heard(topic: string, message: unknown): void {
    const listeners = this.#listeners.get(topic)
    if (listeners !== undefined && listeners.size > 0) {
      for (const listener of listeners) listener(message)
      return
    }
    const unheard = this.#unheard.get(topic) ?? []
    if (unheard.length === MOST_UNHEARD) unheard.shift()
    unheard.push(message)
    this.#unheard.set(topic, unheard)
  }

  /** Requests have ended; the modules finish what they can within what is left of the drain limit. */
  async drain(): Promise<void> {
    if (this.#drains.size > 0) {
      const { drainTimeout, stopTimeout } = this.#settings
      const past = monotonicNow() - this.#leavingSince
      const limit = Math.max(0, Math.min(Math.max(LEAST_DRAIN, drainTimeout - past), stopTimeout - past - BEFORE_KILL))
      const done = Promise.allSettled([...this.#drains.values()].map((drained) => drained(limit)))
      await waitAtMost(ms(limit), done)
    }
    this.#tellReports()
  }

  /** The order to leave has come: from here on the limits of leaving count. */
  leaving(): void {
    this.#leavingSince ||= monotonicNow()
  }

  #tellReports(): void {
    if (this.#reports.size === 0) return
    const modules: Record<string, unknown> = {}
    for (const [topic, snapshot] of this.#reports) modules[topic] = snapshot()
    sendToArbiter({ type: 'modules', modules })
  }
}

/** How long the last word to the arbiter may take before the process leaves anyway. */
const LAST_WORD_LIMIT = ms(500)

/** Tells the arbiter something over the IPC channel. Without an arbiter it is told nobody. */
export function sendToArbiter(message: FromMain): void {
  const envelope: MainEnvelope = { punctual: message }
  if (process.connected) process.send?.(envelope, undefined, undefined, () => {})
}

/** The same, and resolves when the message has left, or at the limit. */
export function sendToArbiterAndFlush(message: FromMain): Promise<void> {
  return promiseAtMost<void>(LAST_WORD_LIMIT, (resolve) => {
    if (!process.connected || process.send === undefined) return resolve()
    process.send({ punctual: message } satisfies MainEnvelope, undefined, undefined, () => resolve())
  })
}
