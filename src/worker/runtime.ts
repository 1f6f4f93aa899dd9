import { ProcessGlobal } from '../system/process-global.ts'

/** What the watchdog asks of a paused main thread, and the toolkit of its worker. Members are added, never changed: a newer toolkit may meet an older server. */
export interface Runtime {
  /** Sequence number of the request being executed: by AsyncLocalStorage, else the one `self` (a frame's `this`) belongs to; 0 for none. */
  readonly sequenceOf: (self: unknown) => number
  /** Announces a long synchronous job; returns how to say that it is over. */
  readonly beginBlocking: (name: string, limitMs: number) => () => void
}

const runtime = new ProcessGlobal<Runtime>('runtime')

export function publishRuntime(value: Runtime): void {
  runtime.set(value)
}

/** The runtime of this process; undefined when it is no worker of Punctual's. */
export function findRuntime(): Runtime | undefined {
  return runtime.get()
}
