import { after, type Cancel, monotonicNow } from '../../resilience/clock.ts'
import type { Milliseconds } from '../../resilience/duration.ts'

/**
 * Calls `run` once `length` has passed and the loop has read after that: timers alone may run late, one behind the other, with nothing read in between.
 *
 * @param run is told until when what had arrived has been read, in milliseconds of the monotonic clock
 */
export function afterReading(length: Milliseconds, run: (until: number) => void): Cancel {
  let turn: NodeJS.Immediate | undefined
  const cancel = after(length, () => {
    turn = setImmediate(run, monotonicNow())
  })
  return () => {
    cancel()
    clearImmediate(turn)
  }
}
