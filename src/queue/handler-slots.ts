/**
 * How many handlers run at a time in this process, over all queues: what a flood of deferred work may take from requests, in connections of
 * a pool for example. First come, first served.
 */
export class HandlerSlots {
  #most: number
  #taken = 0
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
  }

  set most(most: number) {
    this.#most = most
    this.#admit()
  }

  get taken(): number {
    return this.#taken
  }

  /** Resolves to what gives the slot back, to be called once. */
  async take(): Promise<() => void> {
    if (this.#taken < this.#most) this.#taken++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      this.#taken--
      this.#admit()
    }
  }

  #admit(): void {
    while (this.#taken < this.#most) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#taken++
      next()
    }
  }
}
