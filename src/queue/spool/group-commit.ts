import { EventEmitter } from 'node:events'
import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { PunctualError } from '../../errors/punctual-error.ts'
import { after, type Cancel } from '../../resilience/clock.ts'
import type { Milliseconds } from '../../resilience/duration.ts'
import { type DiskFault, diskFault } from './disk-fault.ts'
import { closeFile, dataSyncFile, inSyncQueue, openFile, syncFile } from './file-io.ts'
import type { Segment } from './segment.ts'

const CLOSED: DiskFault = { kind: 'closed', why: 'the spool was closed' }

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

interface CommitEvents {
  /** The disk has refused to sync. */
  fault: [error: unknown]
}

/**
 * Syncs what was appended, all of it together and in the background: one sync serves everything
 * that was appended in the meantime (group commit; J. Gray, A. Reuter, "Transaction Processing",
 * 1992, 9.4.7).
 */
export class GroupCommit extends EventEmitter<CommitEvents> {
  readonly #interval: Milliseconds
  /** Written to since the last sync began. */
  #dirty = new Set<Segment>()
  #waiters: Waiter[] = []
  /** Being synced, and who waits for that. */
  #syncing = new Set<Segment>()
  #syncWaiters: Waiter[] = []
  /**
   * Segments that the disk refused to sync. Another sync proves nothing: the kernel may have
   * dropped what it could not write, and reports that only once (A. Rebello et al., "Can
   * Applications Recover from fsync Failures?", USENIX ATC 2020).
   */
  readonly #failed = new Map<Segment, PunctualError>()
  /** All their items were settled: their files no longer matter. */
  readonly #forgotten = new WeakSet<Segment>()
  /** Segments whose directory entries are synced too. */
  readonly #named = new WeakSet<Segment>()
  #running: Promise<void> | null = null
  #cancel: Cancel | null = null

  /** @param interval how long items gather before a sync */
  constructor(interval: Milliseconds) {
    super()
    this.#interval = interval
  }

  onAppend(segment: Segment): void {
    this.#dirty.add(segment)
    if (this.#cancel === null && this.#running === null) this.#schedule()
  }

  /** The segment was copied to another file, nothing of which is synced. */
  onCopy(segment: Segment): void {
    this.#failed.delete(segment)
    this.#named.delete(segment)
    this.onAppend(segment)
  }

  /** The segment is no longer needed. */
  forget(segment: Segment): void {
    this.#forgotten.add(segment)
    this.#dirty.delete(segment)
    this.#failed.delete(segment)
  }

  /** Whether something in the segment may not be synced. */
  isUnsynced(segment: Segment): boolean {
    return this.#dirty.has(segment) || this.#syncing.has(segment)
  }

  /** Resolves when everything so far is synced. Rejects while the disk has refused a segment. */
  synced(): Promise<void> {
    const [failure] = this.#failed.values()
    if (failure !== undefined) return Promise.reject(failure)
    if (this.#dirty.size + this.#syncing.size === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiters = this.#dirty.size === 0 ? this.#syncWaiters : this.#waiters
      waiters.push({ resolve, reject })
    })
  }

  /** Syncs now. Never rejects. */
  async close(): Promise<void> {
    await this.#running
    this.#cancel?.()
    this.#cancel = null
    if (this.#dirty.size + this.#waiters.length > 0) await this.#sync()
  }

  /** Syncs nothing more. What is not synced counts as failed. */
  abandon(): void {
    this.#cancel?.()
    this.#cancel = null
    for (const segment of [...this.#dirty, ...this.#syncing]) this.#fail(segment, null)
    this.#dirty.clear()
    this.#settle([...this.#syncWaiters.splice(0), ...this.#waiters.splice(0)])
  }

  #schedule(): void {
    this.#cancel = after(this.#interval, () => {
      this.#cancel = null
      void this.#sync()
    })
  }

  #sync(): Promise<void> {
    this.#running = this.#syncAll().finally(() => {
      this.#running = null
      if (this.#dirty.size > 0 && this.#cancel === null) this.#schedule()
    })
    return this.#running
  }

  async #syncAll(): Promise<void> {
    this.#syncing = this.#dirty
    this.#syncWaiters = this.#waiters
    this.#dirty = new Set()
    this.#waiters = []
    const errors: unknown[] = []
    for (const segment of this.#syncing) {
      try {
        await inSyncQueue(() => this.#syncOne(segment))
      } catch (error) {
        // A forgotten segment may have been closed meanwhile.
        if (this.#forgotten.has(segment)) continue
        this.#fail(segment, error)
        errors.push(error)
      }
    }
    this.#syncing = new Set()
    this.#settle(this.#syncWaiters.splice(0))
    if (errors.length > 0) this.emit('fault', errors[0])
  }

  async #syncOne(segment: Segment): Promise<void> {
    if (this.#forgotten.has(segment)) return
    await dataSyncFile(segment.fd)
    if (this.#named.has(segment)) return
    await syncDirectories(segment.path)
    this.#named.add(segment)
  }

  /** @param error of the disk; null when the spool was closed first */
  #fail(segment: Segment, error: unknown): void {
    if (this.#failed.has(segment)) return
    const { kind, why } = error === null ? CLOSED : diskFault(error, segment.path)
    const details = { path: segment.path, reason: kind }
    const options = { cause: error ?? undefined, details }
    this.#failed.set(segment, new PunctualError('PUNCTUAL_QUEUE_NOT_SYNCED', `not synced: ${why}`, options))
  }

  #settle(waiters: readonly Waiter[]): void {
    const [failure] = this.#failed.values()
    for (const { resolve, reject } of waiters) {
      if (failure === undefined) resolve()
      else reject(failure)
    }
  }
}

/** Syncs the directories of the owner, the queue and the spool: all three may be new. */
async function syncDirectories(path: string): Promise<void> {
  let directory = path
  for (let level = 0; level < 3; level++) {
    directory = dirname(directory)
    const fd = await openFile(directory, constants.O_RDONLY)
    try {
      await syncFile(fd)
    } finally {
      await closeFile(fd)
    }
  }
}
