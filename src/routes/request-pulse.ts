import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { monotonicNow } from '../resilience/clock.ts'

const START = 'http.server.request.start'
const FINISH = 'http.server.response.finish'

/** Who has just heard that the app is ready needs a moment to ask for something, in milliseconds. */
const FIRST_MOMENT = 200

/** When requests come and go in this process, whatever serves them: seen through Node's own channels, and only while somebody looks. */
export class RequestPulse {
  #seenAt: number | null = null
  #looking = false

  readonly #seen = (): void => {
    this.#seenAt = monotonicNow()
  }

  look(): void {
    if (this.#looking) return
    this.#looking = true
    this.#seenAt ??= monotonicNow() + FIRST_MOMENT
    subscribe(START, this.#seen)
    subscribe(FINISH, this.#seen)
  }

  stop(): void {
    if (!this.#looking) return
    this.#looking = false
    unsubscribe(START, this.#seen)
    unsubscribe(FINISH, this.#seen)
  }

  /** Milliseconds since a request has last begun or been answered. */
  quietFor(): number {
    return monotonicNow() - (this.#seenAt ?? Number.NEGATIVE_INFINITY)
  }
}
