import type { RecoveryReader } from './spool/recovery-reader.ts'
import type { Place, PlaceSlot } from './spool/segment.ts'
import type { SplitId } from './spool/segment-format.ts'

/** The segment number of an item that is not on disk. */
const NOT_ON_DISK = -1

/**
 * One accepted item until it is delivered, dead-lettered or dropped. It keeps the JSON, so that a
 * handler sees the same value after a crash.
 *
 * Its place on disk and the two parts of its id are fields of its own: there may be millions of
 * items, made in microseconds each, and the garbage collector pays for every object in them.
 */
export class QueueItem implements SplitId, PlaceSlot {
  readonly head: string
  readonly tail: string
  readonly json: string
  /** Size of the JSON. */
  bytes: number
  /** When it was accepted, in whole milliseconds of the monotonic clock. */
  readonly at: number
  segment: number = NOT_ON_DISK
  index = 0
  size = 0
  /** The reader of the orphaned spool it comes from; null for an item of this process. */
  readonly source: RecoveryReader | null
  /** How many processes are known to have died while they handled it. */
  readonly crashes: number

  constructor(
    id: SplitId,
    json: string,
    bytes: number,
    at: number,
    source: RecoveryReader | null = null,
    crashes: number = 0,
  ) {
    this.head = id.head
    this.tail = id.tail
    this.json = json
    this.bytes = bytes
    this.at = Math.floor(at)
    this.source = source
    this.crashes = crashes
  }

  get id(): string {
    return this.head + this.tail
  }

  /** False: it is in memory only. */
  get isOnDisk(): boolean {
    return this.segment !== NOT_ON_DISK
  }

  setPlace({ segment, index, size }: Place): void {
    this.segment = segment
    this.index = index
    this.size = size
  }
}

/** Items that the handler gets together, in order, and the failures they have had so far. */
export interface Batch {
  readonly items: readonly QueueItem[]
  /** How many calls have failed with these items; they were together in all of them. */
  failed: number
  /** ISO time of the first failure. */
  firstFailedAt: string | null
  /** The delay before the last attempt, in milliseconds; the next one may depend on it. */
  delay: number
  /** It is one item that is retried on its own, in turn with the others. */
  isIsolated: boolean
  /** Not to be retried before, in milliseconds of the monotonic clock. */
  notBefore: number
}

export function newBatch(items: readonly QueueItem[]): Batch {
  return { items, failed: 0, firstFailedAt: null, delay: 0, isIsolated: false, notBefore: 0 }
}

/** Some items of a batch, with the same history. */
export function partOf(batch: Batch, items: readonly QueueItem[]): Batch {
  return { ...batch, items }
}

/** From this failure on, the batch is searched for the item that causes it. */
const SEARCH_AFTER = 2

/**
 * What to do with a batch after a failure.
 *
 * - `retry`: it stays first in line and is retried unchanged.
 * - `halve`: both halves are tried one after the other, down to the item that makes them fail.
 * - `isolate`: a single item is retried later and no longer delays the others.
 * - `dead-letter`: a single item has failed often enough.
 */
export type FailureAction = 'retry' | 'halve' | 'isolate' | 'dead-letter'

/**
 * Decides what to do with a batch that has failed. An item becomes a dead letter only after it has
 * failed alone, never because of another item in its batch.
 *
 * @param attempts how often an item may fail
 * @param permanent the handler says that a retry is useless
 */
export function failureAction(batch: Batch, attempts: number, permanent: boolean): FailureAction {
  const search = batch.failed >= Math.min(SEARCH_AFTER, attempts)
  if (batch.items.length > 1) return search || permanent ? 'halve' : 'retry'
  if (permanent || batch.failed >= attempts) return 'dead-letter'
  return search ? 'isolate' : 'retry'
}
