/** `punctual/testing`: a clock moved by hand, and expectations about queries. */
export {
  type ExpectedQueries,
  expectNoRepeats,
  expectQueries,
  type RepeatOptions,
} from './query-insight/expect-queries.ts'
export { ManualClock } from './resilience/manual-clock.ts'
export type { TimerWheel } from './resilience/timer-wheel.ts'
