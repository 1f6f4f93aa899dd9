import type { DeferredItem } from './deferred-item.ts'

/** Items that are given to the handler together, in order, and what has become of that so far. */
export interface Batch {
  readonly items: readonly DeferredItem[]
  /** In how many calls that failed its items have been; they have been in the same ones. */
  failed: number
  /** ISO time of the first of these. */
  firstFailedAt: string | null
  /** The delay before the last attempt, in milliseconds: the next one may depend on it. */
  delay: number
  /** It is one item that is tried again by itself, in turn with the others. */
  aside: boolean
  /** Not to be tried before, in milliseconds of the monotonic clock. */
  notBefore: number
}

export function newBatch(items: readonly DeferredItem[]): Batch {
  return { items, failed: 0, firstFailedAt: null, delay: 0, aside: false, notBefore: 0 }
}

/** A part of a batch, with the same past. */
export function partOf(batch: Batch, items: readonly DeferredItem[]): Batch {
  return { ...batch, items }
}

/** From this failure on it is looked for the item that is to blame. */
const SUSPECT_AFTER = 2

/**
 * What is to be done with a batch that has failed once more.
 * - `again`: it stays first in line, and is tried again as it is.
 * - `halve`: both halves are tried, one after the other, down to the item that makes them fail.
 * - `aside`: it is one item; it is tried again later and no longer holds up the others.
 * - `bury`: it is one item, and has failed often enough.
 */
export type Remedy = 'again' | 'halve' | 'aside' | 'bury'

/**
 * An item is buried only after it has failed alone: what is merely in the same batch as a poison item never is.
 *
 * @param attempts how often an item may fail
 * @param permanent whether the handler says that trying again is of no use
 */
export function remedyFor(batch: Batch, attempts: number, permanent: boolean): Remedy {
  const suspect = batch.failed >= Math.min(SUSPECT_AFTER, attempts)
  if (batch.items.length > 1) return suspect || permanent ? 'halve' : 'again'
  if (permanent || batch.failed >= attempts) return 'bury'
  return suspect ? 'aside' : 'again'
}
