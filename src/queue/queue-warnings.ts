import { LogThrottle } from '../diagnostics/log-throttle.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import type { Batch } from './batch.ts'
import { formatError, formatItems, type QueueEvents } from './queue-events.ts'
import type { DropReason } from './queue-report.ts'

const DROPS_INTERVAL = ms(1_000)

/** What follows "N items". */
const DROP_MESSAGES: Readonly<Record<DropReason, string>> = {
  full: 'dropped: the queue is full',
  oldest: 'dropped for newer ones: the queue is full',
  rejected: 'rejected: the queue is full',
  'too-large': 'dropped: larger than maxBytes',
  'not-serializable': 'dropped: not JSON-serializable',
  closed: 'dropped: the queue is closed',
  lost: 'lost: in memory only when the process exited',
  'dead-letters-full': 'deleted from the dead letters: there were too many',
}

/** Counts the items that a queue drops, by reason, and reports them at most once a second. */
export class DropCounter {
  readonly #events: QueueEvents
  readonly #total: Partial<Record<DropReason, number>> = {}
  readonly #unreported = new Map<DropReason, number>()
  readonly #throttle = new LogThrottle(DROPS_INTERVAL)
  #error: unknown

  constructor(events: QueueEvents) {
    this.#events = events
  }

  get total(): Readonly<Partial<Record<DropReason, number>>> {
    return this.#total
  }

  add(reason: DropReason, count = 1, error?: unknown): void {
    this.count(reason, count)
    this.#unreported.set(reason, (this.#unreported.get(reason) ?? 0) + count)
    if (error !== undefined) this.#error = error
    this.reportDue()
  }

  /** Only counts: for drops that are reported in another way. */
  count(reason: DropReason, count: number): void {
    this.#total[reason] = (this.#total[reason] ?? 0) + count
  }

  /** Reports the drops since the last report, if it is time. */
  reportDue(now: number = monotonicNow()): void {
    if (this.#unreported.size === 0 || !this.#throttle.shouldLog(now)) return
    const parts = Array.from(this.#unreported, ([reason, count]) => `${formatItems(count)} ${DROP_MESSAGES[reason]}`)
    const drops = Object.fromEntries(this.#unreported)
    const error = this.#error === undefined ? null : formatError(this.#error)
    this.#unreported.clear()
    this.#error = undefined
    this.#events.emit('dropped', `${parts.join('; ')}${error === null ? '' : ` (${error})`}`, { drops, error })
  }
}

/** An item that fails among others that succeed makes the handler fail and succeed in turn. */
const FAILURES_INTERVAL = ms(10_000)
/** The end of so many failures in a row is worth a line. */
const MIN_FAILURES = 3

/** Reports when the handler of a queue begins to fail, and when it succeeds again. */
export class HandlerHealth {
  failures = 0
  /** The last error; null when the handler has succeeded since. */
  lastError: string | null = null
  readonly #events: QueueEvents
  readonly #throttle = new LogThrottle(FAILURES_INTERVAL)
  #failuresInARow = 0
  #failingSince = 0
  #isReported = false

  constructor(events: QueueEvents) {
    this.#events = events
  }

  succeeded(): void {
    if (this.#isReported && this.#failuresInARow >= MIN_FAILURES) {
      const failures = this.#failuresInARow
      const elapsed = formatElapsed(monotonicNow() - this.#failingSince)
      this.#events.emit('succeeding', `the handler succeeds again after ${failures} failures in ${elapsed}`, {
        failures,
      })
    }
    this.#failuresInARow = 0
    this.#isReported = false
    this.lastError = null
  }

  /** @param retryInMs the delay before the next call, in milliseconds */
  failed(batch: Batch, error: unknown, retryInMs: number): void {
    const now = monotonicNow()
    this.failures++
    if (this.#failuresInARow++ === 0) this.#failingSince = now
    this.lastError = formatError(error)
    if (this.#isReported || !this.#throttle.shouldLog(now)) return
    this.#isReported = true
    const items = batch.items.length
    const { failed: attempt } = batch
    const retry = retryInMs === 0 ? 'now' : `in ${formatElapsed(retryInMs)}`
    this.#events.emit(
      'failing',
      `the handler failed with ${formatItems(items)} (attempt ${attempt}), retrying ${retry}: ${this.lastError}`,
      { items, attempt, retryInMs, error: this.lastError },
    )
  }
}

/** Reports once when the oldest item has waited too long, and once when it no longer does. */
export class LatenessCheck {
  isLate = false
  readonly #warnAge: Milliseconds
  readonly #events: QueueEvents

  constructor(warnAge: Milliseconds, events: QueueEvents) {
    this.#warnAge = warnAge
    this.#events = events
  }

  /** @param ageMs how long the oldest item has waited; null when there is none */
  check(ageMs: number | null): void {
    const warnAgeMs = this.#warnAge
    const warnAge = formatElapsed(warnAgeMs)
    if (ageMs !== null && ageMs > warnAgeMs) {
      if (this.isLate) return
      this.isLate = true
      const message = `the oldest item has waited ${formatElapsed(ageMs)}, longer than warnAge (${warnAge})`
      this.#events.emit('late', message, { ageMs, warnAgeMs })
    } else if (this.isLate) {
      this.isLate = false
      this.#events.emit('in-time', `no item waits longer than warnAge (${warnAge})`, { warnAgeMs })
    }
  }
}
