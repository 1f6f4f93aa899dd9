import { afterIo } from './clock.ts'
import { type Duration, readDuration } from './duration.ts'
import type { Alarm, WheelClock } from './timer-wheel.ts'
import { TimerWheel } from './timer-wheel.ts'

interface PendingAlarm extends Alarm {
  readonly at: number
  readonly run: () => void
}

/**
 * A clock for tests, which only moves when a test moves it. Pass its `wheel` to `withDeadline` or
 * to a policy: a timeout of a minute takes no time then, and is exactly a minute.
 */
export class ManualClock implements WheelClock {
  readonly wheel: TimerWheel
  #now: number
  readonly #alarms = new Set<PendingAlarm>()

  /** @param start the first reading, in milliseconds; default 0 */
  constructor(start = 0) {
    this.#now = start
    this.wheel = new TimerWheel(this)
  }

  now(): number {
    return this.#now
  }

  /** How many timers are set: at most one for each wheel. */
  get armed(): number {
    return this.#alarms.size
  }

  alarm(delay: number, run: () => void): Alarm {
    const alarm: PendingAlarm = {
      at: this.#now + Math.max(0, delay),
      run,
      cancel: () => void this.#alarms.delete(alarm),
      hold: () => {},
    }
    this.#alarms.add(alarm)
    return alarm
  }

  /**
   * Moves the clock forward at once, as a blocked event loop does: what was due in between is late.
   * Nothing runs before `settle` or `advance`.
   */
  jump(by: Duration): void {
    this.#now += readDuration('ManualClock.jump', 'by', by)
  }

  /** Moves the clock forward, stops whenever something is due, and lets promises settle. */
  async advance(by: Duration): Promise<void> {
    const end = this.#now + readDuration('ManualClock.advance', 'by', by)
    await this.settle()
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at)
      await this.settle()
    }
    this.#now = end
    await this.settle()
  }

  /** Runs what is due now, and lets promises settle. */
  async settle(): Promise<void> {
    await turn()
    for (let next = this.#next(this.#now); next !== undefined; next = this.#next(this.#now)) {
      this.#alarms.delete(next)
      next.run()
      await turn()
    }
  }

  #next(until: number): PendingAlarm | undefined {
    let next: PendingAlarm | undefined
    for (const alarm of this.#alarms) {
      if (alarm.at <= until && (next === undefined || alarm.at < next.at)) next = alarm
    }
    return next
  }
}

/** All microtasks have run once the event loop has turned. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    afterIo(resolve)
  })
}
