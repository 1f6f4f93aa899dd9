import type { WorkerConfig } from '../ipc/worker-config.ts'

/** What the main thread hands its watchdog at the start. */
export interface ThreadData {
  readonly config: WorkerConfig
  /** Memory of the `ConnectionTable`. */
  readonly table: SharedArrayBuffer
  /** Memory of the `Pulse`. */
  readonly pulse: SharedArrayBuffer
  /** Where the arbiter is, or -1 where there is none. */
  readonly link: number
}

/** How often the main thread beats and the watchdog looks, in milliseconds. */
export const BEAT_EVERY = 50
export const LOOK_EVERY = 25
