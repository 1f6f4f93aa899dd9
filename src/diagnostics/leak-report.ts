/** A connection that a pool has lent and not got back for long. */
export interface LeakReport {
  readonly pool: string
  /** Who has it: the operation and the place in the app that asked for it. */
  readonly borrower: string
  readonly heldForMs: number
}

/** Shared by all copies of Punctual in a process: an app may have one of its own beside the one that serves it. */
const KEY = Symbol.for('punctual.reportLeak')
type Holder = { [KEY]?: (leak: LeakReport) => void }

/** Where leaks of this process are reported to, from now on. */
export function onLeak(report: (leak: LeakReport) => void): void {
  Object.defineProperty(globalThis, KEY, { value: report, configurable: true })
}

/** Makes it an incident, in a worker of Punctual's; elsewhere nobody listens. */
export function reportLeak(leak: LeakReport): void {
  ;(globalThis as Holder)[KEY]?.(leak)
}
