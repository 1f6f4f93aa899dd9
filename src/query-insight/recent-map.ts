/**
 * A map that drops entries not used for long. It has two halves: entries in use are in the new
 * half; when that is full it becomes the old half, and the previous old half is dropped. So a
 * look-up is nearly always one look into a `Map`, without a write.
 */
export class RecentMap<Key, Value> {
  readonly #half: number
  #fresh = new Map<Key, Value>()
  #old = new Map<Key, Value>()

  /** @param max the most entries in total */
  constructor(max: number) {
    this.#half = Math.ceil(max / 2)
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
