import type { Log } from '../diagnostics/log.ts'
import type { ReleaseStatus } from '../diagnostics/release-report.ts'
import { RELEASE_ENTRY, type RunningRelease, startRelease } from '../release/start-release.ts'
import { wallClock } from '../resilience/clock.ts'
import type { Settings } from '../settings/settings.ts'
import type { Installation } from '../system/installation.ts'

export interface ReleaseRunnerOptions {
  readonly configFile: string | null
  readonly cwd: string
  readonly installation: Installation
  readonly log: Log
}

/** Runs the release steps of this arbiter's generations, one release at a time. */
export class ReleaseRunner {
  readonly #options: ReleaseRunnerOptions
  #running: RunningRelease | null = null
  #status: ReleaseStatus | null = null

  constructor(options: ReleaseRunnerOptions) {
    this.#options = options
  }

  /** Of the newest release; null before the first. */
  get status(): ReleaseStatus | null {
    return this.#status
  }

  /** Resolves with the outcome, or why it failed. Throws if the process cannot be started. */
  async run(
    generation: number,
    serving: boolean,
    settings: Settings,
  ): Promise<{ readonly ok: boolean; readonly message: string }> {
    const { configFile, cwd, installation, log } = this.#options
    if (configFile === null) return { ok: true, message: '' }
    const before = this.#status
    this.#update(generation, {})
    const running = startRelease(
      { mode: 'run', configFile, cwd, serving, settings },
      {
        onLog: ({ level, fields, message }) => {
          log[level]({ ...fields, generation }, message)
          this.#update(generation, { message })
        },
        onRecord: (version, record) => this.#update(generation, { version, record }),
      },
      installation.fileOf(RELEASE_ENTRY),
    )
    this.#running = running
    const { outcome, message, failure, version, record } = await running.ended
    this.#running = null
    if (outcome === 'nothing') {
      this.#status = before
      return { ok: true, message: '' }
    }
    const ok = outcome === 'done' || outcome === 'skipped'
    this.#update(generation, {
      state: ok ? outcome : 'failed',
      message,
      failure,
      ...(version === null ? {} : { version }),
      ...(record === null ? {} : { record }),
    })
    return { ok, message }
  }

  abort(why: string): void {
    this.#running?.abort(why)
  }

  #update(generation: number, change: Partial<ReleaseStatus>): void {
    const since = wallClock().toISOString()
    const initial = { version: null, since, message: 'starting', failure: null, record: null }
    const now: ReleaseStatus =
      this.#status?.generation === generation ? this.#status : { state: 'running', generation, ...initial }
    const moved = change.state !== undefined && change.state !== now.state
    this.#status = { ...now, ...(moved ? { since } : {}), ...change }
  }
}
