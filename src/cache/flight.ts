import { SupersededError } from '../resilience/abort-reason.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { TimerWheel } from '../resilience/timer-wheel.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import type { WaitScope } from '../resilience/wait-scope.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import type { CacheEntry } from './cache-entry.ts'
import { asNobody } from './nobody.ts'

export interface FlightOptions {
  readonly name: string
  /** Of all of it, in milliseconds. */
  readonly limit: Milliseconds
  /** Goes on without callers. */
  readonly background: boolean
  readonly wheel: TimerWheel | undefined
  /** Called once, when it is over, before its callers are told; with the error if there is one. */
  readonly ended: (error: unknown) => void
}

/**
 * One load that any number of callers share. Each keeps its own deadline and leaves when that has passed or its client has gone; when the last has
 * left, the load is cancelled. It runs in a scope of its own, outside of any request.
 */
export class Flight {
  readonly #options: FlightOptions
  readonly #seats = new Set<Seat>()
  readonly #giveUp = new AbortController()
  #background: boolean
  #result: Promise<CacheEntry> | null = null
  /** What is loaded was invalidated meanwhile: its callers are told, nobody else, and it is not kept. */
  detached = false

  constructor(options: FlightOptions) {
    this.#options = options
    this.#background = options.background
  }

  /** All have left; it comes to nothing. */
  get isAbandoned(): boolean {
    return this.#giveUp.signal.aborted
  }

  /** Begins. Whoever has taken a seat by the time it ends is told. */
  start(work: (scope: WaitScope) => Promise<CacheEntry>): void {
    const { name, limit, wheel } = this.#options
    asNobody(() => {
      withDeadline(name, limit, work, { parent: null, signal: this.#giveUp.signal, ...(wheel ? { wheel } : {}) }).then(
        (entry) => this.#end(Promise.resolve(entry), undefined),
        (error: unknown) => this.#end(Promise.reject(error), error ?? new Error('rejected without an error')),
      )
    })
  }

  /** Answers those who wait now, while the load goes on for whoever comes later. */
  answerEarly(entry: CacheEntry): void {
    this.#background = true
    for (const seat of this.#takeSeats()) seat.resolve(entry)
  }

  /** Waits for its result as part of `wait`. Rejects with the reason when that is given up. */
  join(wait: WaitContext): Promise<CacheEntry> {
    if (this.#result !== null) return this.#result
    return new Promise((resolve, reject) => {
      const { signal } = wait
      const leave = (): void => {
        if (!this.#seats.delete(seat)) return
        reject(signal.reason)
        if (this.#seats.size === 0 && !this.#background) this.#abandon()
      }
      const seat: Seat = { resolve, reject, rise: () => signal.removeEventListener('abort', leave) }
      this.#seats.add(seat)
      if (signal.aborted) leave()
      else signal.addEventListener('abort', leave, { once: true })
    })
  }

  #abandon(): void {
    this.#giveUp.abort(new SupersededError(`nobody waits for "${this.#options.name}" any more`))
  }

  #end(result: Promise<CacheEntry>, error: unknown): void {
    this.#result = result
    this.#options.ended(error)
    const seats = this.#takeSeats()
    result.then(
      (entry) => {
        for (const seat of seats) seat.resolve(entry)
      },
      (error: unknown) => {
        for (const seat of seats) seat.reject(error)
      },
    )
  }

  #takeSeats(): readonly Seat[] {
    const seats = [...this.#seats]
    this.#seats.clear()
    for (const seat of seats) seat.rise()
    return seats
  }
}

interface Seat {
  readonly resolve: (entry: CacheEntry) => void
  readonly reject: (error: unknown) => void
  /** Stops listening for its caller to leave. */
  readonly rise: () => void
}
