import { PunctualError } from '../errors/punctual-error.ts'
import { after } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { type QueueEvent, tellItems } from './defer-events.ts'
import type { QueueSettings } from './defer-options.ts'
import { Holdings } from './holdings.ts'
import type { Inheritance } from './inheritance.ts'
import { thisOwner } from './spool/owner.ts'
import { openSpool, type Spool, type SpoolState } from './spool/spool.ts'

const SYNC_EVERY = ms(10)
/** Items that are written down at a time once the disk works again: so much less than a millisecond or two. */
const WRITE_DOWN = 500

/** Whether what a queue has accepted is on disk: says when it is not, and writes it down when that can be done again. */
export class Safekeeping {
  /** Null for a queue that is kept in memory. */
  readonly spool: Spool | null
  readonly holdings: Holdings
  /** Why items are kept in memory alone; null while they are not. */
  degraded: string | null = null
  readonly #settings: QueueSettings
  readonly #tell: (event: Omit<QueueEvent, 'queue'>) => void

  /** @param directory `<stateDir>/spool` */
  constructor(
    settings: QueueSettings,
    directory: string,
    inheritance: Inheritance,
    tell: (event: Omit<QueueEvent, 'queue'>) => void,
  ) {
    const { name, durability, maxBytes } = settings
    this.#settings = settings
    this.#tell = tell
    this.spool =
      durability === 'memory'
        ? null
        : openSpool({
            directory,
            queue: name,
            owner: thisOwner(),
            durability,
            syncEvery: SYNC_EVERY,
            maxBytes,
            onState: (state) => this.#onState(state),
          })
    this.holdings = new Holdings(this.spool, inheritance)
  }

  /**
   * Resolves when what was accepted so far would survive the loss of power. At once unless `durability` is `disk`.
   *
   * @throws PunctualError (rejects, `PUNCTUAL_QUEUE_NOT_SYNCED`) when it would not
   * @throws WaitTimeoutError (rejects) when the disk has not answered within `limit`
   */
  async synced(limit: Milliseconds): Promise<void> {
    const { name, durability } = this.#settings
    const { spool } = this
    if (durability !== 'disk' || spool === null) return
    const { inMemory } = this.holdings
    const { state } = spool
    if (state.state === 'degraded' || inMemory > 0) {
      const why = state.state === 'degraded' ? state.why : 'the disk did not take them'
      const reason = state.state === 'degraded' ? state.reason : 'not-written'
      throw new PunctualError(
        'PUNCTUAL_QUEUE_NOT_SYNCED',
        `deferred ${name}: not synced, ${tellItems(inMemory)} in memory alone: ${why}`,
        { details: { queue: name, inMemory, reason } },
      )
    }
    await withTimeout(`sync of deferred ${name}`, limit, () => spool.synced())
  }

  /** Nothing more is handled: what is in memory alone is lost, and told. Returns how many items that is. */
  tellLost(): number {
    const lost = this.holdings.inMemory
    if (lost === 0) return 0
    const which = this.spool === null ? 'of a queue that is kept in memory' : 'that the disk did not take'
    const message = `deferred ${this.#settings.name}: ${tellItems(lost)} ${which} were not handled and are lost`
    this.#tell({ type: 'lost', severity: 'error', message, details: { items: lost } })
    return lost
  }

  #onState(state: SpoolState): void {
    const { name } = this.#settings
    if (state.state === 'degraded') {
      const again = this.degraded !== null
      this.degraded = state.why
      if (again) return
      const message = `deferred ${name}: ${state.why}; items are kept in memory alone until that is over, and are lost if the process dies`
      this.#tell({ type: 'degraded', severity: 'warn', message, details: { reason: state.reason } })
    } else if (this.degraded !== null) {
      this.degraded = null
      const waiting = this.holdings.inMemory
      const message = `deferred ${name}: items go to disk again${waiting === 0 ? '' : `; ${tellItems(waiting)} that were in memory alone are written down`}`
      this.#tell({ type: 'recovered', severity: 'info', message, details: { items: waiting } })
      this.#writeDown()
    }
  }

  /** A part at a time, so that requests are not held up. */
  #writeDown(): void {
    if (this.degraded !== null || !this.holdings.writeDown(WRITE_DOWN)) return
    after(ms(1), () => this.#writeDown(), { keepAlive: false })
  }
}
