import { monotonicNow } from '../../wait/clock.ts'
import { RecentMap } from './recent-map.ts'

const HOUR = 3_600_000
const MOST = 1_000

const told = new RecentMap<string, number>(MOST)

/** Whether something is told now: the first time, and then once an hour, in each process. */
export function tellNow(what: string): boolean {
  const now = monotonicNow()
  const last = told.get(what)
  if (last !== undefined && now - last < HOUR) return false
  told.set(what, now)
  return true
}
