import type { Drop } from '../drop.ts'

export interface PendingDrop {
  readonly drop: Drop
  /** Redis has it. */
  readonly done: () => void
}

/** Invalidations that Redis has not been told yet. While one is open, what Redis has under it must not be relied upon. */
export class PendingDrops {
  readonly #most: number
  /** With the number of the latest, so that an older one's answer does not take a newer away. */
  readonly #keys = new Map<string, number>()
  readonly #tags = new Map<string, number>()
  #all: number | null = null
  #last = 0

  /** @param most more than so many are replaced by dropping everything */
  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#all === null ? this.#keys.size + this.#tags.size : 1
  }

  /** Whether what Redis has under this key may have been invalidated. It is not known which tags it has. */
  covers(key: string): boolean {
    return this.#all !== null || this.#tags.size > 0 || (this.#keys.size > 0 && this.#keys.has(key))
  }

  /** @param overflow called when it is one too many, and all will be dropped instead */
  add(drop: Drop, overflow: () => void): PendingDrop {
    const number = ++this.#last
    if (drop.all || this.#all !== null) this.#takeAll(number)
    else {
      for (const key of drop.keys) this.#keys.set(key, number)
      for (const tag of drop.tags) this.#tags.set(tag, number)
      if (this.size > this.#most) {
        this.#takeAll(number)
        overflow()
      }
    }
    return { drop, done: () => this.#done(drop, number) }
  }

  /** What to tell Redis next, `most` at a time; null when there is nothing. */
  next(most: number): PendingDrop | null {
    const until = this.#last
    const keys = this.#all === null ? firstOf(this.#keys, most) : []
    const tags = this.#all === null ? firstOf(this.#tags, most - keys.length) : []
    const drop = { keys, tags, all: this.#all !== null }
    if (!drop.all && keys.length + tags.length === 0) return null
    return { drop, done: () => this.#done(drop, until) }
  }

  #done({ keys, tags, all }: Drop, until: number): void {
    if (all && this.#all !== null && this.#all <= until) this.#all = null
    forget(this.#keys, keys, until)
    forget(this.#tags, tags, until)
  }

  #takeAll(number: number): void {
    this.#all = number
    this.#keys.clear()
    this.#tags.clear()
  }
}

function firstOf(names: ReadonlyMap<string, number>, most: number): readonly string[] {
  const first: string[] = []
  for (const name of names.keys()) {
    if (first.length >= most) break
    first.push(name)
  }
  return first
}

function forget(numbers: Map<string, number>, names: readonly string[], until: number): void {
  for (const name of names) {
    if ((numbers.get(name) ?? Number.POSITIVE_INFINITY) <= until) numbers.delete(name)
  }
}
