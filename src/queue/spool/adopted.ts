import type { Place } from './spool-interface.ts'

/** An item that an owner has left. */
export interface Leftover {
  readonly id: string
  readonly json: string
  readonly place: Place
}

/** A file, or a part of one, that could not be read. */
export interface Damage {
  readonly path: string
  /**
   * - `missing`: the file is gone.
   * - `unreadable`: it cannot be opened, and stays where it is.
   * - `damaged`: nothing in it can be read.
   * - `damaged-tail`: what stands behind its whole items cannot be read.
   * - `other-version`: it has another version of the format.
   */
  readonly problem: 'missing' | 'unreadable' | 'damaged' | 'damaged-tail' | 'other-version'
  /** Where it, or its damaged part, was moved; null when that failed or there was nothing to move. */
  readonly movedTo: string | null
  /** One line for people. */
  readonly message: string
}

/** How much is read at once; unbounded unless given. A portion has at least one item if there is any. */
export interface AdoptLimits {
  readonly items?: number
  readonly bytes?: number
}

/** What somebody has left, as long as it is not settled. It belongs to whoever adopted it: when that one dies it is found with what else it had. */
export interface Adopted {
  /** The first portion, in the order in which each owner appended them. */
  readonly items: readonly Leftover[]
  /** The next portion, read in the background; empty when there is no more. Never rejects. */
  more(): Promise<readonly Leftover[]>
  /** What could not be read. `more` may add to it. */
  readonly damaged: readonly Damage[]
  /** As the spool's. Files whose items are all settled are removed. */
  settle(places: readonly Place[]): void
  /**
   * Everything is settled: lets go of it. False when files are left that can be neither read nor moved nor removed. They stay in hand then: whoever adopted them next
   * would have the same trouble, and the items of those that can be read would be handled again each time.
   */
  finish(): boolean
  /** Tries again to read, move or remove what is left; `more` has what can be read now. */
  retry(): void
  /** Gives up what is not settled: anybody may adopt it. */
  release(): void
}
