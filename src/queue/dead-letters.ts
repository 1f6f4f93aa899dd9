import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LogThrottle } from '../diagnostics/log-throttle.ts'
import { redact } from '../redaction/redaction.ts'
import { monotonicNow, wallClock } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { makeDirectory } from '../system/make-directory.ts'
import type { Batch, QueueItem } from './batch.ts'
import { formatError, formatItems, type QueueEvent, type QueueEvents, textOf } from './queue-events.ts'
import type { DropCounter } from './queue-warnings.ts'
import { inFileQueue, inSyncQueue } from './spool/file-io.ts'
import { ulid } from './ulid.ts'

/** An item that was given up, as it is stored. Times are ISO 8601. */
export interface DeadLetter {
  readonly id: string
  readonly item: unknown
  /** The last error of the handler. */
  readonly error: { readonly name: string; readonly message: string; readonly code?: string }
  /** How many calls have failed with it. */
  readonly attempts: number
  readonly firstFailedAt: string
  readonly lastFailedAt: string
}

/** How much is kept of one queue. The oldest entries are deleted first. */
interface DeadLetterBounds {
  readonly files: number
  readonly bytes: number
}
const BOUNDS: DeadLetterBounds = { files: 10_000, bytes: 64 * 1024 * 1024 }
/** Beyond a bound, files are deleted down to this share of it: counting them takes time. */
const KEPT_SHARE = 0.9
/**
 * Other processes write here too. Files are counted again after so many writes, or a tenth of the
 * files if that is more.
 */
const RECOUNT_AFTER = 100
const MAX_MESSAGE_LENGTH = 2_000

/**
 * The dead letters of one queue, in `<stateDir>/spool/<queue>/dead`: a file for each occasion, a
 * line for each item. A file is written once and completely, then only replaced or removed, so
 * several processes and the command line need no lock.
 */
export class DeadLetterStore {
  readonly directory: string
  #files = 0
  #bytes = 0
  /** Writes until the files are counted again. */
  #recountIn = 0
  #isCounting = false
  readonly #bounds: DeadLetterBounds

  /** @param spool `<stateDir>/spool` */
  constructor(spool: string, queue: string, bounds: DeadLetterBounds = BOUNDS) {
    this.directory = join(spool, queue, 'dead')
    this.#bounds = bounds
  }

  /**
   * Writes entries to disk, with fsync. To be followed by `enforceBounds`.
   *
   * @returns the name of their file, for `withdraw`
   * @throws the error of the file system; the entries are not stored then
   */
  async add(entries: readonly DeadLetter[]): Promise<string> {
    const text = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('')
    const name = `${ulid()}.jsonl`
    await makeDirectory(this.directory)
    await this.#write(name, text)
    this.#files++
    this.#bytes += Buffer.byteLength(text)
    this.#recountIn--
    return name
  }

  /** Removes what `add` has written. */
  async withdraw(name: string): Promise<void> {
    await rm(join(this.directory, name), { force: true })
  }

  /**
   * Deletes the oldest entries when there are too many. Cheap when there are not; otherwise there
   * may be thousands of files to count, so deliveries must not wait for it.
   *
   * @returns how many entries were deleted
   */
  async enforceBounds(): Promise<number> {
    const { files, bytes } = this.#bounds
    if (this.#isCounting || (this.#recountIn > 0 && this.#files <= files && this.#bytes <= bytes)) return 0
    this.#isCounting = true
    try {
      return await this.#deleteOldest()
    } finally {
      this.#isCounting = false
    }
  }

  /** All readable entries, the oldest first. */
  async list(): Promise<readonly DeadLetter[]> {
    const entries: DeadLetter[] = []
    for (const name of await this.#names()) entries.push(...(await this.#read(name)))
    return entries
  }

  /** How many entries there are, without keeping them in memory. */
  async count(): Promise<number> {
    let count = 0
    for (const name of await this.#names()) count += (await this.#read(name)).length
    return count
  }

  /**
   * Removes the entries for which `wanted` returns true. Two concurrent calls may bring one back,
   * but never lose one.
   *
   * @returns how many were removed
   */
  async remove(wanted: (entry: DeadLetter) => boolean): Promise<number> {
    let removed = 0
    for (const name of await this.#names()) {
      const entries = await this.#read(name)
      const kept = entries.filter((entry) => !wanted(entry))
      if (kept.length === entries.length) continue
      removed += entries.length - kept.length
      if (kept.length === 0) await rm(join(this.directory, name), { force: true })
      else await this.#write(name, kept.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
    }
    return removed
  }

  async #deleteOldest(): Promise<number> {
    const names = await inFileQueue(() => this.#names())
    const sizes: number[] = []
    for (const name of names) sizes.push(await inFileQueue(() => this.#sizeOf(name)))
    this.#files = names.length
    this.#bytes = sizes.reduce((sum, size) => sum + size, 0)
    this.#recountIn = Math.max(RECOUNT_AFTER, this.#files / 10)
    const { files, bytes } = this.#bounds
    if (this.#files <= files && this.#bytes <= bytes) return 0
    let deleted = 0
    // The newest file is kept, however large.
    for (const [index, name] of names.slice(0, -1).entries()) {
      if (this.#files <= files * KEPT_SHARE && this.#bytes <= bytes * KEPT_SHARE) break
      deleted += (await inFileQueue(() => this.#read(name))).length
      await inFileQueue(() => this.withdraw(name))
      this.#files--
      this.#bytes -= sizes[index] ?? 0
    }
    return deleted
  }

  #sizeOf(name: string): Promise<number> {
    return stat(join(this.directory, name)).then(
      ({ size }) => size,
      () => 0,
    )
  }

  async #names(): Promise<readonly string[]> {
    const names = await readdir(this.directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    return names.filter((name) => name.endsWith('.jsonl')).sort()
  }

  /** Skips a line that is not an entry: the file was edited. */
  async #read(name: string): Promise<readonly DeadLetter[]> {
    const text = await readFile(join(this.directory, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    return text.split('\n').flatMap((line) => {
      try {
        const entry: unknown = JSON.parse(line)
        return isDeadLetter(entry) ? [entry] : []
      } catch {
        return []
      }
    })
  }

  async #write(name: string, text: string): Promise<void> {
    const path = join(this.directory, `.${ulid()}.tmp`)
    try {
      const file = await open(path, 'wx', 0o600)
      try {
        await file.writeFile(text)
        await file.datasync()
      } finally {
        await file.close()
      }
      await rename(path, join(this.directory, name))
    } catch (error) {
      await rm(path, { force: true }).catch(() => {})
      throw error
    }
    await this.#syncDirectory()
  }

  /** Makes the name of the file survive a loss of power too. Not every file system can. */
  async #syncDirectory(): Promise<void> {
    const directory = await open(this.directory, 'r')
    try {
      await directory.sync()
    } catch {
      // The name is as safe as this file system makes it.
    } finally {
      await directory.close()
    }
  }
}

/** How long writing may take. After that the items are kept and retried. */
const WRITE_TIMEOUT = '5s'
const LOG_INTERVAL = ms(1_000)

/** Moves the items that a queue gives up to its dead letters, and reports them. */
export class DeadLetterQueue {
  /** Items that became dead letters. */
  count = 0
  readonly #store: DeadLetterStore
  readonly #queue: string
  readonly #drops: DropCounter
  readonly #events: QueueEvents
  readonly #throttle = new LogThrottle(LOG_INTERVAL)
  #unreported = 0
  #lastError = ''

  /** @param spool `<stateDir>/spool` */
  constructor(spool: string, queue: string, drops: DropCounter, events: QueueEvents) {
    this.#store = new DeadLetterStore(spool, queue)
    this.#queue = queue
    this.#drops = drops
    this.#events = events
  }

  /**
   * Writes the items of a batch. Never rejects.
   *
   * @returns false when they could not be written, and must be kept
   */
  async deadLetter(batch: Batch, error: unknown): Promise<boolean> {
    const lastFailedAt = wallClock().toISOString()
    const stored = storedError(error)
    const entries = batch.items.map((item) => ({
      id: item.id,
      item: jsonOf(item),
      error: stored,
      attempts: batch.failed,
      firstFailedAt: batch.firstFailedAt ?? lastFailedAt,
      lastFailedAt,
    }))
    try {
      await this.#write(entries)
    } catch (fault) {
      const items = entries.length
      const why = formatError(fault)
      this.#report(`cannot write ${formatItems(items)} to ${this.#store.directory}; they are kept: ${why}`, {
        items,
        error: why,
        written: false,
      })
      return false
    }
    this.count += entries.length
    this.#unreported += entries.length
    this.#lastError = formatError(error)
    this.reportDue()
    return true
  }

  /** Reports the dead letters since the last report, if it is time. */
  reportDue(now: number = monotonicNow()): void {
    if (this.#unreported === 0 || !this.#throttle.isDue(now)) return
    const [items, error] = [this.#unreported, this.#lastError]
    const hint = `punctual deferred ${this.#queue}`
    this.#report(
      `${formatItems(items)} became ${items === 1 ? 'a dead letter' : 'dead letters'} (${hint}); last error: ${error}`,
      {
        items,
        error,
        written: true,
      },
    )
    this.#unreported = 0
  }

  /** Undoes a write that ends after its timeout: its items were kept, and are delivered again. */
  async #write(entries: readonly DeadLetter[]): Promise<void> {
    await withTimeout(
      `dead letters of ${this.#queue}`,
      WRITE_TIMEOUT,
      ({ signal }) => inSyncQueue(async () => (signal.aborted ? null : await this.#store.add(entries))),
      { dispose: (late) => (late === null ? null : inFileQueue(() => this.#store.withdraw(late))) },
    )
    void this.#enforceBounds()
  }

  async #enforceBounds(): Promise<void> {
    try {
      const deleted = await this.#store.enforceBounds()
      if (deleted > 0) this.#drops.add('dead-letters-full', deleted)
    } catch {
      // A few too many remain until the next one is added.
    }
  }

  #report(message: string, details: QueueEvent['details']): void {
    this.#throttle.logged()
    this.#events.emit('dead-letters', message, details)
  }
}

/** Text that is not JSON is stored as a string. */
function jsonOf({ json }: QueueItem): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}

/** The part of an error that is stored. */
export function storedError(error: unknown): DeadLetter['error'] {
  if (!(error instanceof Error)) return { name: 'unknown', message: redact(textOf(error)).slice(0, MAX_MESSAGE_LENGTH) }
  const { code } = error as { readonly code?: unknown }
  const stored = { name: error.name, message: redact(error.message).slice(0, MAX_MESSAGE_LENGTH) }
  return typeof code === 'string' ? { ...stored, code } : stored
}

function isDeadLetter(value: unknown): value is DeadLetter {
  return typeof value === 'object' && value !== null && typeof (value as DeadLetter).id === 'string' && 'item' in value
}
