/** First in, first out, in O(1) for both ends: a circular buffer that doubles when it is full. */
export class Ring<T> {
  #slots: (T | undefined)[] = new Array(64).fill(undefined)
  /** The number of slots less one; they are a power of two. */
  #mask = 63
  #first = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(value: T): void {
    if (this.#length > this.#mask) this.#grow()
    this.#slots[(this.#first + this.#length) & this.#mask] = value
    this.#length++
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#slots[this.#first]
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const value = this.#slots[this.#first]
    this.#slots[this.#first] = undefined
    this.#first = (this.#first + 1) & this.#mask
    this.#length--
    return value
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = 0; index < this.#length; index++) yield this.#slots[(this.#first + index) & this.#mask] as T
  }

  #grow(): void {
    const slots = new Array((this.#mask + 1) * 2).fill(undefined)
    for (let index = 0; index < this.#length; index++) slots[index] = this.#slots[(this.#first + index) & this.#mask]
    this.#slots = slots
    this.#mask = slots.length - 1
    this.#first = 0
  }
}
