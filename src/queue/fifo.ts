/** Values in one piece. */
const SIZE = 512

interface Piece<T> {
  readonly values: (T | undefined)[]
  next: Piece<T> | null
}

/**
 * First in, first out, in O(1) for both ends: an unrolled linked list. Nothing is copied when it grows, and a piece is mostly as young as what is in it: a single large array
 * would be old, and the collector has to be told of each young object that is put into an old one.
 */
export class Fifo<T> {
  #first: Piece<T> = newPiece()
  #last: Piece<T> = this.#first
  /** In the first piece: what is next. */
  #from = 0
  /** In the last piece: the next free. */
  #to = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(value: T): void {
    if (this.#to === SIZE) {
      const piece = newPiece<T>()
      this.#last.next = piece
      this.#last = piece
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
    else if (this.#from === SIZE && next !== null) {
      this.#first = next
      this.#from = 0
    }
    return value
  }

  *[Symbol.iterator](): Generator<T> {
    let piece: Piece<T> | null = this.#first
    for (let at = this.#from, left = this.#length; left > 0; left--) {
      if (at === SIZE) {
        piece = piece?.next ?? null
        at = 0
      }
      yield piece?.values[at++] as T
    }
  }
}

function newPiece<T>(): Piece<T> {
  return { values: new Array(SIZE).fill(undefined), next: null }
}
