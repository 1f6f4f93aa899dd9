import type { Log } from '../diagnostics/log.ts'
import type { ReleaseRecord, ReleaseStatus } from '../diagnostics/release-report.ts'
import type { ReleaseEnd } from '../release/messages.ts'
import { type RunningRelease, startRelease } from '../release/start-release.ts'
import { wallClock } from '../resilience/clock.ts'
import type { Settings } from '../settings/settings.ts'

export interface ReleaserOptions {
  readonly configFile: string | null
  readonly cwd: string
  readonly log: Log
  readonly settings: () => Settings
}

/** Runs the release steps of this arbiter's generations, one release at a time, and knows how far the newest is. */
export class Releaser {
  readonly #options: ReleaserOptions
  #running: RunningRelease | null = null
  #status: ReleaseStatus | null = null

  constructor(options: ReleaserOptions) {
    this.#options = options
  }

  /** Of the newest release; null until there has been one. */
  get status(): ReleaseStatus | null {
    return this.#status
  }

  /** @param ended is always called, once: with a sentence, or with why it failed */
  run(generation: number, serving: boolean, ended: (ok: boolean, why: string) => void): void {
    const { configFile, cwd, log, settings } = this.#options
    if (configFile === null) return ended(true, '')
    const before = this.#status
    const show = (change: Partial<ReleaseStatus>): void => {
      const since = wallClock().toISOString()
      const first: ReleaseStatus = {
        state: 'running',
        generation,
        version: null,
        since,
        told: 'begins',
        failure: null,
        record: null,
      }
      const now = this.#status?.generation === generation ? this.#status : first
      const moved = change.state !== undefined && change.state !== now.state
      this.#status = { ...now, ...(moved ? { since } : {}), ...change }
    }
    show({})
    const running = startRelease(
      { mode: 'run', configFile, cwd, serving, settings: settings() },
      {
        onLog: ({ level, fields, message }) => {
          log[level]({ ...fields, generation }, message)
          show({ told: message })
        },
        onRecord: (version, record: ReleaseRecord | null) => show({ version, record }),
      },
    )
    this.#running = running
    void running.ended.then(({ outcome, message, failure, version, record }: ReleaseEnd) => {
      this.#running = null
      const ok = outcome === 'done' || outcome === 'skipped' || outcome === 'nothing'
      if (outcome === 'nothing') this.#status = before
      else {
        const state = outcome === 'done' || outcome === 'skipped' ? outcome : 'failed'
        show({
          state,
          told: message,
          failure,
          ...(version === null ? {} : { version }),
          ...(record === null ? {} : { record }),
        })
      }
      ended(ok, outcome === 'nothing' ? '' : message)
    })
  }

  abort(why: string): void {
    this.#running?.abort(why)
  }
}
