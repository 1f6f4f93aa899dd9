import type { CacheModuleReport } from '../../../src/cache/cache-report.ts'
import { publishWorkerChannel, type WorkerChannel } from '../../../src/ipc/worker-channel.ts'

/**
 * Stands in for the arbiter, with several workers in one process: delivers each broadcast to the
 * others, in order and asynchronously.
 */
export class WorkerHub {
  readonly #channels = new Map<number, WorkerChannel>()
  readonly #listeners = new Map<number, Map<string, (message: unknown) => void>>()
  readonly #reports = new Map<number, () => unknown>()
  /** Workers whose messages are kept for now. */
  readonly unreachable: Set<number> = new Set()
  readonly #kept: (() => void)[] = []

  /** Runs `make` as this worker. */
  run<T>(worker: number, make: () => T): T {
    publishWorkerChannel(this.channel(worker))
    try {
      return make()
    } finally {
      publishWorkerChannel(null)
    }
  }

  channel(worker: number): WorkerChannel {
    let channel = this.#channels.get(worker)
    if (channel === undefined) {
      channel = this.#newChannel(worker)
      this.#channels.set(worker, channel)
    }
    return channel
  }

  report(worker: number): CacheModuleReport {
    return this.#reports.get(worker)?.() as CacheModuleReport
  }

  deliverKept(): void {
    this.unreachable.clear()
    for (const deliver of this.#kept.splice(0)) setImmediate(deliver)
  }

  #newChannel(worker: number): WorkerChannel {
    const listeners = new Map<string, (message: unknown) => void>()
    this.#listeners.set(worker, listeners)
    return {
      worker,
      stateDir: '/nowhere',
      send: () => {},
      broadcast: (topic, message) => {
        const text = JSON.stringify(message)
        for (const [other, subscribed] of this.#listeners) {
          if (other === worker) continue
          const deliver = (): void => subscribed.get(topic)?.(JSON.parse(text))
          if (this.unreachable.has(other)) this.#kept.push(deliver)
          else setImmediate(deliver)
        }
      },
      subscribe: (topic, listener) => {
        listeners.set(topic, listener)
        return () => listeners.delete(topic)
      },
      report: (_topic, snapshot) => {
        this.#reports.set(worker, snapshot)
        return () => this.#reports.delete(worker)
      },
      onDrain: () => () => {},
      load: () => ({ utilisation: 0, inFlight: 0 }),
    }
  }
}

/**
 * Runs `make` as on another machine: without it, caches of one process would invalidate each other
 * directly.
 */
export function onOwnMachine<T>(make: () => T): T {
  return new WorkerHub().run(1, make)
}
