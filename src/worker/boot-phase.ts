import { publishWorkerBoot, type WorkerBoot } from '../ipc/worker-channel.ts'

/** The end of a worker's boot, as the toolkit in the app sees it, and what the worker's readiness may have to wait for. */
export class BootPhase implements WorkerBoot {
  readonly #waitForAll: boolean
  readonly #onReleased: () => void
  readonly #listeners: ((ready: boolean) => void)[] = []
  #held = 0
  #serving = false

  /**
   * @param waitForAll whether the worker is ready only when everything held has been released (`readyWhen`)
   * @param onReleased called when the last of it has been, after `serve`
   */
  constructor(waitForAll: boolean, onReleased: () => void) {
    this.#waitForAll = waitForAll
    this.#onReleased = onReleased
    publishWorkerBoot(this)
  }

  onServing(listener: (ready: boolean) => void): void {
    if (this.#serving) setImmediate(listener, !this.isHeld)
    else this.#listeners.push(listener)
  }

  hold(): () => void {
    let held = true
    this.#held++
    return () => {
      if (!held) return
      held = false
      this.#held--
      if (this.#serving && this.#held === 0) this.#onReleased()
    }
  }

  /** Whether readiness has to wait. */
  get isHeld(): boolean {
    return this.#waitForAll && this.#held > 0
  }

  /** The app listens, and everything that is not deferred has been loaded. */
  serve(): void {
    if (this.#serving) return
    this.#serving = true
    // In a turn of its own: the arbiter is to hear first that this worker is ready, where it is.
    for (const listener of this.#listeners.splice(0)) setImmediate(listener, !this.isHeld)
  }
}
