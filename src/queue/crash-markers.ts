import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorCode } from '../errors/codes.ts'
import { makeDirectorySync } from '../system/make-directory.ts'
import type { QueueItem } from './batch.ts'

/** From this many crashes on, an item counts as their cause. */
export const MAX_CRASHES = 3
/** The code of the dead letter it becomes. */
export const KILLS_PROCESS: ErrorCode = 'PUNCTUAL_ITEM_KILLS_PROCESS'
/** Batch sizes by the number of crashes. */
const BATCH_SIZES: readonly number[] = [Number.POSITIVE_INFINITY, 20]

/**
 * How many items with this many crashes the handler gets together. The more crashes, the fewer, so
 * that the cause is found after a few crashes and not in a crash loop.
 */
export function maxBatchSize(crashes: number): number {
  return BATCH_SIZES[crashes] ?? 1
}

interface Marker {
  readonly ids: readonly string[]
  /** In the format of the file, which earlier versions wrote too. */
  readonly deaths: number
}

/**
 * Files that name the recovered items a handler is working on. A process that recovers the items
 * again learns from them that its predecessor died with these; otherwise an item that kills its
 * process would kill one process after the other. Own items are not marked: that would cost a write
 * for each batch.
 */
export class CrashMarkers {
  readonly #directory: string
  readonly #owner: string
  #next = 0

  /** @param directory of the queue's dead letters */
  constructor(directory: string, owner: string) {
    this.#directory = directory
    this.#owner = owner
  }

  /**
   * Writes a marker, and returns the function that removes it when the handler has returned.
   * Without a working disk the items are handled unmarked.
   */
  mark(items: readonly QueueItem[]): () => void {
    const path = join(this.#directory, `${prefixOf(this.#owner)}${this.#next++}.json`)
    const marker: Marker = { ids: items.map(({ id }) => id), deaths: items[0]?.crashes ?? 0 }
    try {
      makeDirectorySync(this.#directory)
      writeFileSync(path, JSON.stringify(marker), { mode: 0o600 })
    } catch {
      // A marker is a precaution only.
    }
    return () => remove(path)
  }

  /** Crashes by item id, for the items that a dead owner was handling. Removes its markers. */
  takeCrashes(owner: string): ReadonlyMap<string, number> {
    const crashes = new Map<string, number>()
    const prefix = prefixOf(owner)
    for (const name of this.#names()) {
      if (!name.startsWith(prefix)) continue
      const path = join(this.#directory, name)
      for (const [id, count] of read(path)) crashes.set(id, count)
      remove(path)
    }
    return crashes
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.#directory)
    } catch {
      return []
    }
  }
}

function prefixOf(owner: string): string {
  return `.handling-${owner}-`
}

/** A marker that cannot be removed counts as one more crash of its items. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // The items are handled all the same.
  }
}

/** A marker that was not written completely names no items. */
function read(path: string): readonly (readonly [string, number])[] {
  try {
    const { ids, deaths } = JSON.parse(readFileSync(path, 'utf8')) as Marker
    return ids.map((id) => [id, deaths + 1])
  } catch {
    return []
  }
}
