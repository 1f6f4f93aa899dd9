import type { Place } from './spool-interface.ts'

/** An item that an owner has left. */
export interface Leftover {
  readonly id: string
  readonly json: string
  readonly place: Place
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
  /** Sentences, without their stop, that name what could not be read and where it is now. `more` may add to them. */
  readonly damaged: readonly string[]
  /** As the spool's. Files whose items are all settled are removed. */
  settle(places: readonly Place[]): void
  /** Gives up what is not settled: anybody may adopt it. */
  release(): void
}
