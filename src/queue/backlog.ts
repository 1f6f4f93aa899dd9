import type { QueueItem } from './batch.ts'
import { maxBatchSize } from './crash-markers.ts'

/** Approximate bytes of JSON in a batch: parsing more at once would delay requests. */
const MAX_BATCH_BYTES = 1024 * 1024

/**
 * Items that no handler has yet: those recovered from other processes and this process's own.
 * Recovered items are older and come first, until there are so many own items that some may have to
 * be dropped; then the two take turns.
 */
export class Backlog {
  /** More recovered items are being read, and own items wait for them. */
  expectsMore = false
  readonly #pressureAt: number
  readonly #recovered = new Fifo<QueueItem>()
  readonly #own = new Fifo<QueueItem>()
  #lastWasRecovered = false

  /** @param pressureAt from this many own items on, they no longer wait for recovered ones */
  constructor(pressureAt: number) {
    this.#pressureAt = pressureAt
  }

  get length(): number {
    return this.#recovered.length + this.#own.length
  }

  get recovered(): number {
    return this.#recovered.length
  }

  /** How many items are candidates for the next batch. */
  get ready(): number {
    return this.#next()?.length ?? 0
  }

  push(item: QueueItem): void {
    this.#own.push(item)
  }

  pushRecovered(items: readonly QueueItem[]): void {
    for (const item of items) this.#recovered.push(item)
  }

  /** The next item; undefined when there is none, or it has to wait. */
  peek(): QueueItem | undefined {
    return this.#next()?.peek()
  }

  /** The oldest item of each kind. */
  heads(): readonly (QueueItem | undefined)[] {
    return [this.#recovered.peek(), this.#own.peek()]
  }

  /** Removes the oldest own item, to drop it. */
  shiftOwn(): QueueItem | undefined {
    return this.#own.shift()
  }

  /** Removes up to `most` items of one kind, at least one if there is any. */
  take(most: number): QueueItem[] {
    const items: QueueItem[] = []
    const from = this.#next()
    if (from === null) return items
    this.#lastWasRecovered = from === this.#recovered
    const crashes = from.peek()?.crashes ?? 0
    const bound = Math.min(most, maxBatchSize(crashes))
    let bytes = 0
    for (let next = from.peek(); next !== undefined && items.length < bound; next = from.peek()) {
      bytes += next.bytes
      if (items.length > 0 && (bytes > MAX_BATCH_BYTES || next.crashes !== crashes)) break
      items.push(next)
      from.shift()
    }
    return items
  }

  #next(): Fifo<QueueItem> | null {
    const hasRecovered = this.#recovered.length > 0
    if (this.#own.length >= this.#pressureAt && (this.#lastWasRecovered || !hasRecovered)) return this.#own
    if (hasRecovered) return this.#recovered
    return this.#own.length > 0 && !this.expectsMore ? this.#own : null
  }
}

/** Values in one chunk of a `Fifo`. */
const CHUNK_SIZE = 512

interface Chunk<T> {
  readonly values: (T | undefined)[]
  next: Chunk<T> | null
}

/**
 * A first-in, first-out list with O(1) at both ends: an unrolled linked list. It copies nothing
 * when it grows, and a chunk is about as young as its values: the garbage collector has to record
 * every young object that is stored in an old array.
 */
export class Fifo<T> {
  #first: Chunk<T> = newChunk()
  #last: Chunk<T> = this.#first
  /** Index in the first chunk of the next value. */
  #from = 0
  /** Index in the last chunk of the next free place. */
  #to = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(value: T): void {
    if (this.#to === CHUNK_SIZE) {
      const chunk = newChunk<T>()
      this.#last.next = chunk
      this.#last = chunk
      this.#to = 0
    }
    this.#last.values[this.#to++] = value
    this.#length++
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#first.values[this.#from]
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const { values, next } = this.#first
    const value = values[this.#from]
    values[this.#from++] = undefined
    this.#length--
    if (this.#length === 0) this.#from = this.#to = 0
    else if (this.#from === CHUNK_SIZE && next !== null) {
      this.#first = next
      this.#from = 0
    }
    return value
  }
}

function newChunk<T>(): Chunk<T> {
  return { values: new Array(CHUNK_SIZE).fill(undefined), next: null }
}
