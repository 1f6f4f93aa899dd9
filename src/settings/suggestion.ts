import { ms } from '../resilience/duration.ts'
import { SETTING_NAMES, type SettingName } from './records.ts'
import { brokenRules } from './rules.ts'
import type { Settings } from './settings.ts'

/**
 * Values with which all rules hold, found by moving only what nobody has set: from what was chosen outwards, each broken rule pushes
 * its other side. Empty if there is nothing to move or it does not come out.
 */
export function suggestValues(settings: Settings, chosen: ReadonlySet<SettingName>): Partial<Settings> {
  const fixed = new Set<SettingName>(chosen)
  const moved = new Map<SettingName, number>()
  let trial = settings
  // Every round fixes one more setting, so the number of settings bounds the rounds.
  for (let round = 0; round < SETTING_NAMES.length; round++) {
    const broken = brokenRules(trial)
    if (broken.length === 0) return Object.fromEntries(moved)
    const movable = broken.find(({ order }) => order !== null && fixed.has(order.lower) !== fixed.has(order.upper))
    if (movable?.order == null) return {}
    const { lower, upper, strict } = movable.order
    const target = fixed.has(lower) ? upper : lower
    const value = target === upper ? raise(trial[lower], strict) : reduce(trial[upper], strict)
    if (value < 1) return {}
    fixed.add(target)
    moved.set(target, value)
    trial = { ...trial, [target]: ms(value) }
  }
  return {}
}

/** A third off, to one digit: 10 s is 6 s, 6 s is 4 s. */
function reduce(limit: number, strict: boolean): number {
  if (!strict || limit === Number.POSITIVE_INFINITY) return limit
  const target = (limit * 2) / 3
  const step = 10 ** Math.floor(Math.log10(Math.max(1, target)))
  return Math.floor(target / step) * step
}

/** A fifth on, to two digits: 30 s is 36 s, 90 s is 110 s. */
function raise(limit: number, strict: boolean): number {
  if (!strict || limit === Number.POSITIVE_INFINITY) return limit
  const target = limit * 1.2
  const step = 10 ** Math.max(0, Math.floor(Math.log10(target)) - 1)
  return Math.ceil(target / step) * step
}
