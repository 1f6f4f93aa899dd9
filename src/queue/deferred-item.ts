import type { Adopted } from './spool/adopt.ts'
import type { OwnPlace, Place, SplitId } from './spool/spool.ts'

/** The segment of what is on no disk. */
const NOWHERE = -1

/**
 * One accepted item until it is delivered, dead or dropped. What is kept is its JSON, so that a handler sees the same after a crash.
 *
 * There may be very many, made in microseconds each, and it is the collector that pays for what they consist of: so its place on disk and its id in two parts are its own
 * fields.
 */
export class DeferredItem implements SplitId, OwnPlace {
  readonly head: string
  readonly tail: string
  readonly json: string
  /** Of its JSON. */
  bytes: number
  /** When it was accepted, in whole milliseconds of the monotonic clock: others would be an object more. */
  readonly at: number
  segment: number = NOWHERE
  index = 0
  size = 0
  /** What it was taken over with; null for one of this process. */
  readonly legacy: Adopted | null
  /** How many processes have died while they had it in hand, as far as it is known. */
  readonly deaths: number

  constructor(id: SplitId, json: string, bytes: number, at: number, legacy: Adopted | null = null, deaths: number = 0) {
    this.head = id.head
    this.tail = id.tail
    this.json = json
    this.bytes = bytes
    this.at = Math.floor(at)
    this.legacy = legacy
    this.deaths = deaths
  }

  get id(): string {
    return this.head + this.tail
  }

  /** Else it is in memory alone. */
  get isOnDisk(): boolean {
    return this.segment !== NOWHERE
  }

  standsAt({ segment, index, size }: Place): void {
    this.segment = segment
    this.index = index
    this.size = size
  }
}
