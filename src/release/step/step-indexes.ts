import type { ReleaseFailure } from '../../diagnostics/release-report.ts'
import type { Milliseconds } from '../../resilience/duration.ts'
import type { ReleaseRecords } from '../record/release-records.ts'

/** What is needed of an attempt of a step. */
interface Attempt {
  readonly outcome: string
  readonly tail: string
  readonly why: string
  readonly failure: Omit<ReleaseFailure, 'phase'> | null
  readonly locked: boolean
}

/**
 * The invalid indexes that a step leaves. `create index concurrently` that is interrupted, by a
 * lock timeout or a kill, leaves one that slows down writes and is never used, and that `if not
 * exists` takes for done. Indexes in other databases than that of the release lock are not seen.
 */
export class StepIndexes {
  readonly #records: ReleaseRecords
  #before: ReadonlySet<string> = new Set()
  #left: readonly string[] = []
  /** Whether it has dropped one, so that the next attempt needs a longer lock timeout. */
  hasDropped = false

  constructor(records: ReleaseRecords) {
    this.#records = records
  }

  /** Remembers what is there before the first attempt. */
  async begin(): Promise<void> {
    this.#before = new Set(await this.#invalid())
  }

  /** A step that succeeded, but left an invalid index, has failed. */
  async checked<Ended extends Attempt>(
    attempt: Ended,
    command: string,
  ): Promise<Ended | (Attempt & { outcome: 'failed' })> {
    const invalid = await this.#invalid()
    this.#left = invalid.filter((name) => !this.#before.has(name))
    if (attempt.outcome !== 'done') return attempt
    // One that an earlier release left, if the step has anything to do with it.
    const text = `${command}\n${attempt.tail}`
    const concerned = invalid.filter((name) => this.#left.includes(name) || text.includes(bareName(name)))
    if (concerned.length === 0) return attempt
    const names = concerned.join(', ')
    return {
      ...attempt,
      outcome: 'failed',
      why: `it left an invalid index: ${names}; run "reindex index concurrently ${concerned[0]}", or drop it and run the release again`,
      failure: { reason: 'invalid-index', indexes: concerned },
      locked: false,
    }
  }

  /** Drops what the attempt left, before the next one. Returns whether nothing is left. */
  async dropNew(timeout: Milliseconds): Promise<boolean> {
    try {
      for (const name of this.#left) {
        await this.#records.dropIndex(name, timeout)
        this.hasDropped = true
      }
      return true
    } catch {
      // A transaction that is older than the index is still open: the step fails.
      return false
    }
  }

  async #invalid(): Promise<readonly string[]> {
    // A step may end with the database stopped; what it did is recorded anyway.
    return await this.#records.invalidIndexes().catch(() => [])
  }
}

/** `"Orders by day"` of `app."Orders by day"`, without quotes. */
function bareName(name: string): string {
  return (/(?:^|\.)"((?:[^"]|"")+)"$/.exec(name)?.[1] ?? name.split('.').at(-1) ?? name).replaceAll('""', '"')
}
