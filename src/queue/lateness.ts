import { formatElapsed } from '../resilience/duration.ts'
import type { QueueEvent } from './defer-events.ts'
import type { QueueSettings } from './defer-options.ts'

/** Says once when the oldest item has waited too long, and once when that is over. */
export class Lateness {
  isLate = false
  readonly #settings: QueueSettings
  readonly #tell: (event: Omit<QueueEvent, 'queue'>) => void

  constructor(settings: QueueSettings, tell: (event: Omit<QueueEvent, 'queue'>) => void) {
    this.#settings = settings
    this.#tell = tell
  }

  /** @param age milliseconds that the oldest has waited; null when there is none */
  look(age: number | null): void {
    const { name, warnAge } = this.#settings
    const late = age !== null && age > warnAge
    if (late === this.isLate) return
    this.isLate = late
    const message = late
      ? `deferred ${name}: the oldest item has waited ${formatElapsed(age)}; warnAge is ${formatElapsed(warnAge)}`
      : `deferred ${name}: no item waits longer than warnAge (${formatElapsed(warnAge)}) any more`
    if (late) this.#tell({ type: 'late', severity: 'warn', message, details: { ageMs: age, warnAgeMs: warnAge } })
    else this.#tell({ type: 'in-time', severity: 'info', message, details: { warnAgeMs: warnAge } })
  }
}
