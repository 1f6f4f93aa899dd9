import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ErrorCode } from '../errors/codes.ts'
import type { DeferredItem } from './deferred-item.ts'

/** From so many deaths on an item is taken for the reason of them. */
export const DEADLY = 3
/** The code of its dead letter. */
export const KILLS_PROCESS: ErrorCode = 'PUNCTUAL_ITEM_KILLS_PROCESS'
/** How many items are handled together that may be the reason of so many deaths. */
const TOGETHER: readonly number[] = [Number.POSITIVE_INFINITY, 20]

/** How many items with this many deaths are handled together: so the one to blame is found in a few deaths, and not by a crash loop. */
export function mostTogether(deaths: number): number {
  return TOGETHER[deaths] ?? 1
}

interface Mark {
  readonly ids: readonly string[]
  readonly deaths: number
}

/**
 * Notes which items a handler has in hand that were taken over from a process that died, so that whoever takes them over next knows that another process has died
 * with them. Else an item that kills its process would kill one after the other. Items of this process are not noted: that would be a write for each batch.
 */
export class HandlingMarks {
  readonly #directory: string
  readonly #owner: string
  #next = 0

  /** @param directory of the dead letters of the queue */
  constructor(directory: string, owner: string) {
    this.#directory = directory
    this.#owner = owner
  }

  /** Notes them, and returns what to call when the handler has returned. Without a disk nothing is noted. */
  begin(items: readonly DeferredItem[]): () => void {
    const path = join(this.#directory, `${prefixOf(this.#owner)}${this.#next++}.json`)
    const mark: Mark = { ids: items.map(({ id }) => id), deaths: items[0]?.deaths ?? 0 }
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      writeFileSync(path, JSON.stringify(mark), { mode: 0o600 })
    } catch {
      // It is a precaution: the items are handled without it.
    }
    return () => remove(path)
  }

  /** How many deaths the items have been with that an owner, now dead, had in hand. Forgets the owner's notes. */
  deathsWith(owner: string): ReadonlyMap<string, number> {
    const deaths = new Map<string, number>()
    const prefix = prefixOf(owner)
    for (const name of this.#names()) {
      if (!name.startsWith(prefix)) continue
      const path = join(this.#directory, name)
      for (const [id, count] of read(path)) deaths.set(id, count)
      remove(path)
    }
    return deaths
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

/** If it cannot be, its items count as having been with one more death. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // It is a precaution: the items are handled all the same.
  }
}

/** One that was not written whole says nothing. */
function read(path: string): readonly (readonly [string, number])[] {
  try {
    const { ids, deaths } = JSON.parse(readFileSync(path, 'utf8')) as Mark
    return ids.map((id) => [id, deaths + 1])
  } catch {
    return []
  }
}
