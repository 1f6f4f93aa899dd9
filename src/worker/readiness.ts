import { publishWorkerBoot, type WorkerBoot } from '../ipc/worker-channel.ts'
import { afterIo } from '../resilience/clock.ts'

/** Lets the toolkit wait for the end of the boot, and hold back the readiness of the worker. */
export class Readiness implements WorkerBoot {
  readonly #waitForAll: boolean
  readonly #onReleased: () => void
  readonly #listeners: ((ready: boolean) => void)[] = []
  #held = 0
  #serving = false

  /**
   * @param waitForAll whether readiness waits for all holds (`readyWhen: 'all'`)
   * @param onReleased called when the last hold is released, after `startServing`
   */
  constructor(waitForAll: boolean, onReleased: () => void) {
    this.#waitForAll = waitForAll
    this.#onReleased = onReleased
    publishWorkerBoot(this)
  }

  onServing(listener: (ready: boolean) => void): void {
    if (this.#serving) this.#callLater(listener)
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

  /** Whether readiness has to wait for a hold. */
  get isHeld(): boolean {
    return this.#waitForAll && this.#held > 0
  }

  #callLater(listener: (ready: boolean) => void): void {
    const ready = !this.isHeld
    afterIo(() => listener(ready))
  }

  /** The app listens, and everything that is not deferred is loaded. */
  startServing(): void {
    if (this.#serving) return
    this.#serving = true
    // In a later turn, so that the arbiter first learns that this worker is ready.
    for (const listener of this.#listeners.splice(0)) this.#callLater(listener)
  }
}
