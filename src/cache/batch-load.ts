/**
 * The keys of one `getMany` that neither tier has, loaded together: by one call, once it is known of each of them whether it is to be loaded.
 */
export class BatchLoad<Key, Value> {
  readonly #load: (keys: readonly Key[], signal: AbortSignal) => Promise<readonly (Value | Error)[]>
  readonly #wanted: Want<Key, Value>[] = []
  readonly #giveUp = new AbortController()
  #undecided: number
  #waiting = 0

  /** @param undecided how many keys will call `want` or `decline`, each once */
  constructor(
    undecided: number,
    load: (keys: readonly Key[], signal: AbortSignal) => Promise<readonly (Value | Error)[]>,
  ) {
    this.#undecided = undecided
    this.#load = load
  }

  /** Whether it has not been sent off yet. */
  get isOpen(): boolean {
    return this.#undecided > 0
  }

  /** This key need not be loaded, or not together with the others. */
  decline(): void {
    this.#decide()
  }

  /** @param signal aborted when nobody waits for this key any more; the load is, when that holds for all its keys */
  want(key: Key, signal: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#wanted.push({ key, resolve, reject })
      this.#waiting++
      signal.addEventListener(
        'abort',
        () => {
          reject(signal.reason)
          if (--this.#waiting === 0) this.#giveUp.abort(signal.reason)
        },
        { once: true },
      )
      this.#decide()
    })
  }

  #decide(): void {
    if (--this.#undecided === 0 && this.#wanted.length > 0) void this.#run()
  }

  async #run(): Promise<void> {
    try {
      const values = await this.#load(
        this.#wanted.map(({ key }) => key),
        this.#giveUp.signal,
      )
      for (const [index, { resolve, reject }] of this.#wanted.entries()) {
        const value = values[index] as Value | Error
        if (value instanceof Error) reject(value)
        else resolve(value)
      }
    } catch (error) {
      for (const { reject } of this.#wanted) reject(error)
    }
  }
}

interface Want<Key, Value> {
  readonly key: Key
  readonly resolve: (value: Value) => void
  readonly reject: (error: unknown) => void
}
