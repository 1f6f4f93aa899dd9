import type { HeldSignals, StopNotice } from '../patches/signals.ts'
import { printableLines } from '../redaction/printable.ts'
import { errorText } from '../redaction/redaction.ts'
import type { CloseApp } from './load-entry.ts'

/**
 * The app's own shutdown: its listeners for SIGTERM, and the close of an instance that it exports.
 */
export class AppShutdown {
  readonly #signals: HeldSignals
  readonly #prepare: () => Promise<void>
  /** Closes the exported instance; null without one. */
  close: CloseApp | null = null
  #started: Promise<void> | null = null
  #closed: Promise<void> = Promise.resolve()
  /** How the app was told; null before, and if it does not listen. */
  notice: StopNotice | null = null

  /** @param prepare completes what must be done while the app can still work */
  constructor(signals: HeldSignals, prepare: () => Promise<void>) {
    this.#signals = signals
    this.#prepare = prepare
  }

  /** Whether the app has a shutdown of its own. */
  get exists(): boolean {
    return this.notice !== null || this.close !== null || this.#signals.notice !== null
  }

  /** Starts it, once. Resolves when the listeners have been called. */
  start(): Promise<void> {
    this.#started ??= this.#run()
    return this.#started
  }

  /** Resolves when the exported instance is closed. Never rejects. */
  get closed(): Promise<void> {
    return this.#closed
  }

  async #run(): Promise<void> {
    await this.#prepare()
    this.notice = this.#signals.release()
    this.#closed = this.#close()
  }

  async #close(): Promise<void> {
    try {
      await this.close?.()
    } catch (error) {
      console.error(printableLines(errorText(error)))
    }
  }
}
