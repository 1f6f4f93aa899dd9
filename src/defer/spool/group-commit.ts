import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { after, type Cancel } from '../../wait/clock.ts'
import type { Milliseconds } from '../../wait/duration.ts'
import { closeLater, dataSyncLater, openLater, syncLater } from './background-files.ts'
import type { Segment } from './segment.ts'

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

/**
 * Syncs what was appended, all of it together and in the background (group commit; J. Gray, A. Reuter, "Transaction Processing", 1992, 9.4.7): one sync serves
 * everybody who has appended in the meantime.
 */
export class GroupCommit {
  readonly #every: Milliseconds
  readonly #onFault: (error: unknown) => void
  /** Written to since the last sync began. */
  #dirty = new Set<Segment>()
  #waiters: Waiter[] = []
  #running: Promise<void> | null = null
  #cancel: Cancel | null = null
  /** Segments whose name is on the disk too. */
  readonly #named = new WeakSet<Segment>()

  constructor(every: Milliseconds, onFault: (error: unknown) => void) {
    this.#every = every
    this.#onFault = onFault
  }

  appended(segment: Segment): void {
    this.#dirty.add(segment)
    if (this.#cancel === null && this.#running === null) this.#soon()
  }

  /** Nobody needs it any more. */
  forget(segment: Segment): void {
    this.#dirty.delete(segment)
  }

  synced(): Promise<void> {
    if (this.#dirty.size === 0) return this.#running ?? Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject })
    })
  }

  /** Syncs now, without waiting for others to join. */
  async close(): Promise<void> {
    this.#cancel?.()
    this.#cancel = null
    await this.#running?.catch(() => {})
    if (this.#dirty.size > 0) await this.#sync()
  }

  #soon(): void {
    this.#cancel = after(this.#every, () => {
      this.#cancel = null
      // Told to the waiters, and by `onFault`.
      this.#sync().catch(() => {})
    })
  }

  #sync(): Promise<void> {
    const segments = [...this.#dirty]
    const waiters = this.#waiters
    this.#dirty = new Set()
    this.#waiters = []
    const running = Promise.all(segments.map((segment) => this.#syncOne(segment)))
      .then(
        () => {
          for (const { resolve } of waiters) resolve()
        },
        (error: unknown) => {
          for (const { reject } of waiters) reject(error)
          this.#onFault(error)
          throw error
        },
      )
      .finally(() => {
        this.#running = null
        if (this.#dirty.size > 0 && this.#cancel === null) this.#soon()
      })
    this.#running = running
    return running
  }

  async #syncOne(segment: Segment): Promise<void> {
    try {
      await dataSyncLater(segment.fd)
      if (!this.#named.has(segment)) {
        await syncDirectories(segment.path)
        this.#named.add(segment)
      }
    } catch (error) {
      // All its items were settled meanwhile, and its descriptor was closed.
      if (segment.fd !== -1) throw error
    }
  }
}

/** The owner's, the queue's and the spool's: all three may be new. */
async function syncDirectories(path: string): Promise<void> {
  let directory = path
  for (let level = 0; level < 3; level++) {
    directory = dirname(directory)
    const fd = await openLater(directory, constants.O_RDONLY)
    try {
      await syncLater(fd)
    } finally {
      await closeLater(fd)
    }
  }
}
