import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { PunctualError } from '../../errors/punctual-error.ts'
import { after, type Cancel } from '../../resilience/clock.ts'
import type { Milliseconds } from '../../resilience/duration.ts'
import { closeLater, dataSyncLater, openLater, syncLater } from './background-files.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { inSyncLane } from './disk-lane.ts'
import type { Segment } from './segment.ts'

const CLOSED: DiskFault = { kind: 'closed', why: 'the spool was closed' }

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
  /** Being synced, and who waits for that. */
  #syncing = new Set<Segment>()
  #syncWaiters: Waiter[] = []
  /**
   * Segments that the disk refused, and why. Syncing once more proves nothing: the system may have dropped what it could not write, and says so only once
   * (A. Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
   */
  readonly #failed = new Map<Segment, PunctualError>()
  /** Whose items were all settled: what becomes of their files matters to nobody. */
  readonly #forgotten = new WeakSet<Segment>()
  /** Segments whose name is on the disk too. */
  readonly #named = new WeakSet<Segment>()
  #running: Promise<void> | null = null
  #cancel: Cancel | null = null

  constructor(every: Milliseconds, onFault: (error: unknown) => void) {
    this.#every = every
    this.#onFault = onFault
  }

  appended(segment: Segment): void {
    this.#dirty.add(segment)
    if (this.#cancel === null && this.#running === null) this.#soon()
  }

  /** It was copied to another file, of which nothing is synced. */
  copied(segment: Segment): void {
    this.#failed.delete(segment)
    this.#named.delete(segment)
    this.appended(segment)
  }

  /** Nobody needs it any more. */
  forget(segment: Segment): void {
    this.#forgotten.add(segment)
    this.#dirty.delete(segment)
    this.#failed.delete(segment)
  }

  /** Something was written to it that may not be on the disk. */
  isUnsynced(segment: Segment): boolean {
    return this.#dirty.has(segment) || this.#syncing.has(segment)
  }

  /** Rejects while something is left that the disk refused. */
  synced(): Promise<void> {
    const [fault] = this.#failed.values()
    if (fault !== undefined) return Promise.reject(fault)
    if (this.#dirty.size + this.#syncing.size === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiters = this.#dirty.size === 0 ? this.#syncWaiters : this.#waiters
      waiters.push({ resolve, reject })
    })
  }

  /** Syncs now, without waiting for others to join. Never rejects. */
  async close(): Promise<void> {
    await this.#running
    this.#cancel?.()
    this.#cancel = null
    if (this.#dirty.size + this.#waiters.length > 0) await this.#sync()
  }

  /** Nothing more is synced, though something is left to be. */
  abandon(): void {
    this.#cancel?.()
    this.#cancel = null
    for (const segment of [...this.#dirty, ...this.#syncing]) this.#fail(segment, null)
    this.#dirty.clear()
    this.#answer([...this.#syncWaiters.splice(0), ...this.#waiters.splice(0)])
  }

  #soon(): void {
    this.#cancel = after(this.#every, () => {
      this.#cancel = null
      void this.#sync()
    })
  }

  #sync(): Promise<void> {
    this.#running = this.#syncAll().finally(() => {
      this.#running = null
      if (this.#dirty.size > 0 && this.#cancel === null) this.#soon()
    })
    return this.#running
  }

  async #syncAll(): Promise<void> {
    this.#syncing = this.#dirty
    this.#syncWaiters = this.#waiters
    this.#dirty = new Set()
    this.#waiters = []
    const faults: unknown[] = []
    for (const segment of this.#syncing) {
      try {
        await inSyncLane(() => this.#syncOne(segment))
      } catch (error) {
        // Else its descriptor was closed meanwhile.
        if (this.#forgotten.has(segment)) continue
        this.#fail(segment, error)
        faults.push(error)
      }
    }
    this.#syncing = new Set()
    this.#answer(this.#syncWaiters.splice(0))
    if (faults.length > 0) this.#onFault(faults[0])
  }

  async #syncOne(segment: Segment): Promise<void> {
    if (this.#forgotten.has(segment)) return
    await dataSyncLater(segment.fd)
    if (this.#named.has(segment)) return
    await syncDirectories(segment.path)
    this.#named.add(segment)
  }

  /** @param error of the disk; null when the spool was closed first */
  #fail(segment: Segment, error: unknown): void {
    if (this.#failed.has(segment)) return
    const { kind, why } = error === null ? CLOSED : diskFault(error, segment.path)
    const details = { path: segment.path, reason: kind }
    const failure = new PunctualError('PUNCTUAL_QUEUE_NOT_SYNCED', `not synced: ${why}`, {
      cause: error ?? undefined,
      details,
    })
    this.#failed.set(segment, failure)
  }

  #answer(waiters: readonly Waiter[]): void {
    const [fault] = this.#failed.values()
    for (const { resolve, reject } of waiters) {
      if (fault === undefined) resolve()
      else reject(fault)
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
