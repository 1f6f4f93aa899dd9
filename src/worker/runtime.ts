/** Under this symbol the process keeps what others must find without importing: the watchdog from a paused frame, and the toolkit in an app that
 * has a copy of Punctual of its own. */
const KEY = Symbol.for('punctual.runtime')

/** What is to be found there. Members are added, never changed: a newer toolkit may meet an older server. */
export interface Runtime {
  /** Sequence number of the request being executed: by AsyncLocalStorage, else the one `self` (a frame's `this`) belongs to; 0 for none. */
  readonly sequenceOf: (self: unknown) => number
  /** Announces a long synchronous job; returns how to say that it is over. */
  readonly beginLongTurn: (name: string, limitMs: number) => () => void
}

type Holder = { [KEY]?: Runtime }

export function publishRuntime(runtime: Runtime): void {
  Object.defineProperty(globalThis, KEY, { value: runtime })
}

/** The runtime of this process; undefined when it is no worker of Punctual's. */
export function findRuntime(): Runtime | undefined {
  return (globalThis as Holder)[KEY]
}
