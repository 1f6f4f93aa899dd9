import { AsyncResource } from 'node:async_hooks'
import { monotonicNow } from './clock.ts'

/** One pending call of a clock. */
export interface Alarm {
  cancel(): void
  /** Whether it keeps the process alive. */
  hold(holds: boolean): void
}

/** What a timer wheel needs of time. The real one is `SYSTEM_CLOCK`; a test gives its own. */
export interface WheelClock {
  /** Milliseconds of a monotonic clock. */
  now(): number
  /** Calls `run` once, about `delay` milliseconds from now; it may be early, and the process may end before. */
  alarm(delay: number, run: () => void): Alarm
}

const LONGEST_TIMER = 2 ** 31 - 1

/**
 * A timer belongs to the asynchronous context that made it. The wheel's serves everybody, so it is made in the context this file was
 * loaded in: else it would keep the request alive that happened to arm it, and run the expiries of others in its name.
 */
const nobody = new AsyncResource('PunctualTimerWheel')

export const SYSTEM_CLOCK: WheelClock = {
  now: monotonicNow,
  alarm: (delay, run) => {
    const timer = nobody.runInAsyncScope(() => setTimeout(run, Math.min(Math.ceil(delay), LONGEST_TIMER)).unref())
    return {
      cancel: () => clearTimeout(timer),
      hold: (holds) => {
        if (holds) timer.ref()
        else timer.unref()
      },
    }
  },
}
