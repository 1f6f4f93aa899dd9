import type { DeferredItem } from './deferred-item.ts'
import { Fifo } from './fifo.ts'
import { mostTogether } from './handling-marks.ts'

/** Bytes of JSON in a batch, about: to parse more at once would hold up requests. */
const MOST_BYTES = 1024 * 1024

/**
 * Items that no handler has been given yet: what was taken over from others, and this process's own. What was taken over is older and comes first, until the own are
 * so many that they might have to be dropped; then it is the turn of each.
 */
export class Backlog {
  /** More of what was taken over is being read: own items wait for it. */
  awaitsMore = false
  readonly #pressing: number
  readonly #adopted = new Fifo<DeferredItem>()
  readonly #own = new Fifo<DeferredItem>()
  #adoptedLast = false

  /** @param pressing how many own items no longer wait for others */
  constructor(pressing: number) {
    this.#pressing = pressing
  }

  get length(): number {
    return this.#adopted.length + this.#own.length
  }

  get adopted(): number {
    return this.#adopted.length
  }

  /** How many are in line for the next batch. */
  get ready(): number {
    return this.#next()?.length ?? 0
  }

  push(item: DeferredItem): void {
    this.#own.push(item)
  }

  adopt(items: readonly DeferredItem[]): void {
    for (const item of items) this.#adopted.push(item)
  }

  /** The one that is next; undefined when there is none, or it has to wait. */
  peek(): DeferredItem | undefined {
    return this.#next()?.peek()
  }

  /** The oldest of each kind. */
  heads(): readonly (DeferredItem | undefined)[] {
    return [this.#adopted.peek(), this.#own.peek()]
  }

  /** Takes the oldest of the own out, to make room. */
  shiftOwn(): DeferredItem | undefined {
    return this.#own.shift()
  }

  /** Takes up to `most` items of one kind, at least one if there is any. */
  take(most: number): DeferredItem[] {
    const items: DeferredItem[] = []
    const from = this.#next()
    if (from === null) return items
    this.#adoptedLast = from === this.#adopted
    const deaths = from.peek()?.deaths ?? 0
    const bound = Math.min(most, mostTogether(deaths))
    let bytes = 0
    for (let next = from.peek(); next !== undefined && items.length < bound; next = from.peek()) {
      bytes += next.bytes
      if (items.length > 0 && (bytes > MOST_BYTES || next.deaths !== deaths)) break
      items.push(next)
      from.shift()
    }
    return items
  }

  *[Symbol.iterator](): Generator<DeferredItem> {
    yield* this.#adopted
    yield* this.#own
  }

  #next(): Fifo<DeferredItem> | null {
    const hasAdopted = this.#adopted.length > 0
    if (this.#own.length >= this.#pressing && (this.#adoptedLast || !hasAdopted)) return this.#own
    if (hasAdopted) return this.#adopted
    return this.#own.length > 0 && !this.awaitsMore ? this.#own : null
  }
}
