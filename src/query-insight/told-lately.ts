import { KeyedLogThrottle } from '../diagnostics/log-throttle.ts'
import { ms } from '../resilience/duration.ts'

const HOUR = ms(3_600_000)
const MOST = 1_000

const throttle = new KeyedLogThrottle(HOUR, MOST)

/** Whether something is told now: the first time, and then once an hour, in each process. */
export function tellNow(what: string): boolean {
  return throttle.shouldLog(what)
}
