import { type Profiler, Session } from 'node:inspector'
import type { CostlyImport } from '../diagnostics/modules/boot-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Pulse } from './pulse.ts'
import { sampledImports } from './sampled-imports.ts'

/** A boot that is over by then costs nothing. Most are. */
const SAMPLE_AFTER = 1_000
/** Microseconds between two samples: fine enough for what takes a tenth of a second, and too rare to slow anything down. */
const SAMPLE_EVERY = 10_000

/**
 * Finds out what a slow boot spends its time on: V8's sampling profiler is started from this thread when the boot has lasted for a second, and stopped when it is over.
 */
export class BootWatch {
  readonly #pulse: Pulse
  readonly #limit: Milliseconds
  readonly #onSlow: (bootMs: number, worst: readonly CostlyImport[]) => void
  readonly #startedAt = monotonicNow()
  #session: Session | null = null
  #over = false

  /**
   * @param limit a boot that takes no longer is nobody's business
   * @param onSlow told of a boot that did, when it is over
   */
  constructor(pulse: Pulse, limit: Milliseconds, onSlow: (bootMs: number, worst: readonly CostlyImport[]) => void) {
    this.#pulse = pulse
    this.#limit = limit
    this.#onSlow = onSlow
    this.#over = limit === Number.POSITIVE_INFINITY
  }

  look(): void {
    if (this.#over) return
    const lasted = monotonicNow() - this.#startedAt
    if (this.#pulse.booting) {
      if (this.#session === null && lasted >= Math.min(SAMPLE_AFTER, this.#limit / 2)) this.#sample()
      return
    }
    this.#over = true
    this.#stop(lasted)
  }

  #sample(): void {
    const session = new Session()
    session.connectToMainThread()
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY })
    session.post('Profiler.start')
    this.#session = session
  }

  #stop(lasted: number): void {
    const session = this.#session
    this.#session = null
    if (session === null) return
    session.post('Profiler.stop', (error: Error | null, answer?: Profiler.StopReturnType) => {
      if (lasted > this.#limit) {
        this.#onSlow(Math.round(lasted), error === null && answer !== undefined ? sampledImports(answer.profile) : [])
      }
      session.post('Profiler.disable', () => session.disconnect())
    })
  }
}
