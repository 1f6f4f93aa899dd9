import type { CacheRoomReport } from '../../../src/diagnostics/modules/cache-report.ts'
import { publishWorkerChannel, type WorkerChannel } from '../../../src/ipc/worker-channel.ts'

/** The arbiter's part, for several workers in one process: what one broadcasts all others hear, in order, a little later. */
export class WorkerHub {
  readonly #lines = new Map<number, WorkerChannel>()
  readonly #ears = new Map<number, Map<string, (message: unknown) => void>>()
  readonly #reports = new Map<number, () => unknown>()
  /** Workers that hear nothing for now. */
  readonly deaf: Set<number> = new Set()
  readonly #kept: (() => void)[] = []

  /** Makes something as this worker. */
  run<T>(worker: number, make: () => T): T {
    publishWorkerChannel(this.line(worker))
    try {
      return make()
    } finally {
      publishWorkerChannel(null)
    }
  }

  line(worker: number): WorkerChannel {
    let line = this.#lines.get(worker)
    if (line === undefined) {
      line = this.#newLine(worker)
      this.#lines.set(worker, line)
    }
    return line
  }

  report(worker: number): CacheRoomReport {
    return this.#reports.get(worker)?.() as CacheRoomReport
  }

  deliverKept(): void {
    this.deaf.clear()
    for (const deliver of this.#kept.splice(0)) setImmediate(deliver)
  }

  #newLine(worker: number): WorkerChannel {
    const ears = new Map<string, (message: unknown) => void>()
    this.#ears.set(worker, ears)
    return {
      worker,
      stateDir: '/nowhere',
      send: () => {},
      broadcast: (topic, message) => {
        const text = JSON.stringify(message)
        for (const [other, heard] of this.#ears) {
          if (other === worker) continue
          const deliver = (): void => heard.get(topic)?.(JSON.parse(text))
          if (this.deaf.has(other)) this.#kept.push(deliver)
          else setImmediate(deliver)
        }
      },
      subscribe: (topic, listener) => {
        ears.set(topic, listener)
        return () => ears.delete(topic)
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

/** Makes something as on a machine of its own, which only Redis connects with others: caches of one process tell each other all by themselves. */
export function onOwnMachine<T>(make: () => T): T {
  return new WorkerHub().run(1, make)
}
