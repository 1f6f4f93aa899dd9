import { ProcessGlobal } from '../system/process-global.ts'

const { performance } = globalThis

/**
 * The timers and clocks of Node.js as they were when Punctual was loaded, before the app. Libraries
 * replace the globals: fake timers in end-to-end tests, zone.js. A deadline that waited on their
 * timers would never end, and one timer that was lost is enough. All copies of Punctual in this
 * process share them, because the app's own copy may be loaded later.
 */
export const platform: {
  readonly setTimeout: typeof globalThis.setTimeout
  readonly clearTimeout: typeof globalThis.clearTimeout
  readonly setInterval: typeof globalThis.setInterval
  readonly clearInterval: typeof globalThis.clearInterval
  readonly setImmediate: typeof globalThis.setImmediate
  readonly clearImmediate: typeof globalThis.clearImmediate
  readonly queueMicrotask: typeof globalThis.queueMicrotask
  readonly Date: DateConstructor
  /** `performance.now()`: milliseconds since this thread was started. */
  readonly now: () => number
  /** `process.hrtime.bigint()`: nanoseconds of the clock that all processes share. */
  readonly hrtime: () => bigint
} = new ProcessGlobal<typeof platform>('timers').getOrCreate(() => ({
  setTimeout,
  clearTimeout,
  setInterval,
  clearInterval,
  setImmediate,
  clearImmediate,
  queueMicrotask,
  Date,
  now: performance.now.bind(performance),
  hrtime: process.hrtime.bigint,
}))
