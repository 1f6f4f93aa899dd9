import type { Adopted } from './spool/adopt.ts'
import type { Place } from './spool/spool.ts'

/** One accepted item until it is delivered, dead or dropped. What is kept is its JSON, so that a handler sees the same after a crash. */
export class DeferredItem {
  readonly id: string
  readonly json: string
  readonly bytes: number
  /** When it was accepted, in milliseconds of the monotonic clock. */
  readonly at: number
  /** Where it is on disk; null while it is in memory alone. */
  place: Place | null
  /** What it was taken over with; null for one of this process. */
  readonly legacy: Adopted | null
  /** How many processes have died while they had it in hand, as far as it is known. */
  readonly deaths: number

  constructor(
    id: string,
    json: string,
    bytes: number,
    at: number,
    place: Place | null,
    legacy: Adopted | null,
    deaths: number = 0,
  ) {
    this.id = id
    this.json = json
    this.bytes = bytes
    this.at = at
    this.place = place
    this.legacy = legacy
    this.deaths = deaths
  }
}
