import { monotonicNow, wallClock } from '../resilience/clock.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { Batch } from './batch.ts'
import { type DeadLetter, DeadLetters, keptError } from './dead-letters.ts'
import { type QueueEvent, tellError, tellItems } from './defer-events.ts'
import type { DeferredItem } from './deferred-item.ts'
import type { DropCounter } from './drop-counter.ts'
import { inDiskLane, inSyncLane } from './spool/disk-lane.ts'

/** For writing them down; the items are kept and tried again if it takes longer. */
const WRITE_LIMIT = '5s'
/** Milliseconds between two lines. */
const TELL_EVERY = 1_000

/** Where a queue puts the items it gives up, and says so. */
export class Graveyard {
  /** Items that went there. */
  buried = 0
  readonly #letters: DeadLetters
  readonly #queue: string
  readonly #drops: DropCounter
  readonly #tell: (event: Omit<QueueEvent, 'queue'>) => void
  #untold = 0
  #last = ''
  #toldAt = Number.NEGATIVE_INFINITY

  /** @param spool `<stateDir>/spool` */
  constructor(spool: string, queue: string, drops: DropCounter, tell: (event: Omit<QueueEvent, 'queue'>) => void) {
    this.#letters = new DeadLetters(spool, queue)
    this.#queue = queue
    this.#drops = drops
    this.#tell = tell
  }

  /** False when they could not be written down, and so must not be settled. Never rejects. */
  async add(batch: Batch, error: unknown): Promise<boolean> {
    const lastFailedAt = wallClock().toISOString()
    const kept = keptError(error)
    const letters = batch.items.map((item) => ({
      id: item.id,
      item: read(item),
      error: kept,
      attempts: batch.failed,
      firstFailedAt: batch.firstFailedAt ?? lastFailedAt,
      lastFailedAt,
    }))
    try {
      await this.#write(letters)
    } catch (fault) {
      const why = tellError(fault)
      this.#say(`dead letters cannot be written to ${this.#letters.directory}, and are kept: ${why}`, {
        items: letters.length,
        error: why,
        written: false,
      })
      return false
    }
    this.buried += letters.length
    this.#untold += letters.length
    this.#last = tellError(error)
    this.tellDue()
    return true
  }

  /** Tells what has come together, if it is time. */
  tellDue(now: number = monotonicNow()): void {
    if (this.#untold === 0 || now - this.#toldAt < TELL_EVERY) return
    this.#say(
      `${tellItems(this.#untold)} failed too often and went to the dead letters (punctual deferred ${this.#queue}); the last one with ${this.#last}`,
      { items: this.#untold, error: this.#last, written: true },
    )
    this.#untold = 0
  }

  /** What is written only when nobody waits for it any more is taken back: its items are kept, and would be delivered beside. */
  async #write(letters: readonly DeadLetter[]): Promise<void> {
    await withTimeout(
      `dead letters of ${this.#queue}`,
      WRITE_LIMIT,
      ({ signal }) => inSyncLane(async () => (signal.aborted ? null : await this.#letters.add(letters))),
      { dispose: (late) => (late === null ? null : inDiskLane(() => this.#letters.withdraw(late))) },
    )
    void this.#bound()
  }

  async #bound(): Promise<void> {
    try {
      const gone = await this.#letters.bound()
      if (gone > 0) this.#drops.add('dead-letters-full', gone)
    } catch {
      // There are a few more than there should be, until the next is added.
    }
  }

  #say(what: string, details: QueueEvent['details']): void {
    this.#toldAt = monotonicNow()
    this.#tell({ type: 'dead-letters', severity: 'error', message: `deferred ${this.#queue}: ${what}`, details })
  }
}

/** What is no JSON is kept as its text. */
function read({ json }: DeferredItem): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}
