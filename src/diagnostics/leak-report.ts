import { ProcessGlobal } from '../system/process-global.ts'

/** A connection that was checked out of a pool for too long. */
export interface LeakReport {
  readonly pool: string
  /** The operation that has it, and the place in the app that acquired it. */
  readonly borrower: string
  readonly heldForMs: number
}

const listener = new ProcessGlobal<(leak: LeakReport) => void>('reportLeak')

/** Sets the listener for leaks in this process. */
export function onLeak(report: (leak: LeakReport) => void): void {
  listener.set(report)
}

/** Reports a leak: in a worker of Punctual it becomes an incident, elsewhere nothing happens. */
export function reportLeak(leak: LeakReport): void {
  listener.get()?.(leak)
}
