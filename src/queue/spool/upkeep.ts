import { stat, utimes } from 'node:fs/promises'
import { type Cancel, every, wallClock } from '../../resilience/clock.ts'
import { ms } from '../../resilience/duration.ts'
import { inDiskLane } from './disk-lane.ts'

/** How often the directory of a spool is looked after. */
const LOOK_EVERY = ms(1_000)
/** Looks between two signs of life. */
const TOUCH_EVERY = 5
/** Milliseconds. An owner of another machine that has not touched its directory for so long is dead. */
export const OWNER_STALE = 15_000

export interface UpkeepOptions {
  readonly directory: string
  /** Where the present segment should stand; null when there is none. */
  present(): { readonly path: string; is(found: { readonly ino: bigint; readonly dev: bigint }): boolean } | null
  /** It does not: somebody has removed or replaced it. What is appended to it is in no file that anybody could find. */
  onGone(error: unknown): void
  sweep(): Promise<void>
}

/** What is done for a spool about once a second, whether anything is appended or not. */
export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #cancel: Cancel
  #running: Promise<void> | null = null
  #looks = 0

  constructor(options: UpkeepOptions) {
    this.#options = options
    this.#cancel = every(LOOK_EVERY, () => {
      this.#running ??= inDiskLane(() => this.#look()).finally(() => {
        this.#running = null
      })
    })
  }

  close(): void {
    this.#cancel()
  }

  async #look(): Promise<void> {
    const { directory, present, onGone, sweep } = this.#options
    const segment = present()
    if (segment !== null) {
      const gone = await whyGone(segment)
      if (gone !== null && present() === segment) onGone(gone)
    }
    if (this.#looks++ % TOUCH_EVERY === 0) {
      const now = wallClock()
      await utimes(directory, now, now).catch(() => {})
    }
    void sweep()
  }
}

async function whyGone(segment: NonNullable<ReturnType<UpkeepOptions['present']>>): Promise<unknown> {
  try {
    if (segment.is(await stat(segment.path, { bigint: true }))) return null
    return Object.assign(new Error('replaced'), { code: 'ENOENT' })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? error : null
  }
}
