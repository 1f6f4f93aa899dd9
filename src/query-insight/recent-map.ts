/**
 * A map that forgets what was not used for long. Two halves: what is used is in the new one, and when that is full it becomes the old one, and what was
 * old is gone. So a look-up is one look into a `Map`, nearly always, and nothing is written on it.
 */
export class RecentMap<Key, Value> {
  readonly #half: number
  #fresh = new Map<Key, Value>()
  #old = new Map<Key, Value>()

  /** @param most entries in all */
  constructor(most: number) {
    this.#half = Math.ceil(most / 2)
  }

  get(key: Key): Value | undefined {
    const found = this.#fresh.get(key)
    if (found !== undefined) return found
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: Key, value: Value): void {
    if (this.#fresh.size >= this.#half && !this.#fresh.has(key)) {
      this.#old = this.#fresh
      this.#fresh = new Map()
    }
    this.#fresh.set(key, value)
  }
}
