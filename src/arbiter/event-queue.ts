export interface EventQueueOptions<Event> {
  /** Handles one event. Events that it posts wait until it has returned. */
  readonly handle: (event: Event) => void
  /** Called once, when `handle` throws: its state may be wrong, so no more events are handled. */
  readonly onFailed: (error: unknown, event: Event) => void
}

/** Handles events one at a time in the order of their posting, until handling one throws. */
export class EventQueue<Event> {
  readonly #options: EventQueueOptions<Event>
  readonly #waiting: Event[] = []
  /** `failed`: handling an event threw; later events are dropped. */
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
