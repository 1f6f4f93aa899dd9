export interface EventQueueOptions<Event> {
  /** Handles one event. It may post more: they wait until it has returned. */
  readonly handle: (event: Event) => void
  /** `handle` threw, so that what it knows may be wrong. Called once; nothing is handled from then on. */
  readonly onFailed: (error: unknown, event: Event) => void
}

/** Handles events one at a time, in the order in which they are posted, until handling one of them throws. */
export class EventQueue<Event> {
  readonly #options: EventQueueOptions<Event>
  readonly #waiting: Event[] = []
  #state: 'idle' | 'handling' | 'failed' = 'idle'

  constructor(options: EventQueueOptions<Event>) {
    this.#options = options
  }

  get hasFailed(): boolean {
    return this.#state === 'failed'
  }

  /** Never throws. */
  post(event: Event): void {
    if (this.#state === 'failed') return
    this.#waiting.push(event)
    if (this.#state === 'handling') return
    this.#state = 'handling'
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        this.#options.handle(next)
      } catch (error) {
        this.#state = 'failed'
        this.#waiting.length = 0
        this.#options.onFailed(error, next)
        return
      }
    }
    this.#state = 'idle'
  }
}
