import { nearestName } from '../errors/check-options.ts'
import { type Refusal, refused } from './kind.ts'
import { recordOf, SETTING_NAMES, type SettingName } from './records.ts'
import { isSetting } from './resolve.ts'
import { brokenRules, faultOfRule, type Rule, suggestValues } from './rules.ts'
import type { ResolvedSettings, SettingOrigin, Settings } from './settings.ts'
import { type FittingValues, type SettingFault, SettingsError } from './settings-error.ts'

/** Values as an operator writes them, as texts by the name of the setting. */
export type SetTexts = Readonly<Record<string, string>>

/** The settings that can be changed while Punctual runs. */
export const RUNTIME_SETTINGS: readonly SettingName[] = SETTING_NAMES.filter(
  (name) => recordOf(name).runtime !== undefined,
)

/**
 * The settings with the values of `punctual set` on top. Every value must be valid, and all rules
 * must hold.
 *
 * @param base the settings without any `punctual set`
 * @param set all values to be in effect, not only the new ones
 * @param changed the names that this change is about, for the suggestion
 * @throws SettingsError with every fault
 */
export function overlaySettings(
  base: ResolvedSettings,
  set: SetTexts,
  changed: readonly string[] = Object.keys(set),
): ResolvedSettings {
  const { resolved, faults, broken } = check(base, set)
  if (faults.length > 0) throw new SettingsError(faults)
  if (broken.length === 0) return resolved
  throw new SettingsError(
    broken.map((rule) => faultOfRule(rule, resolved)),
    { fitting: fittingChange(resolved.settings, changed.filter(isSetting)) },
  )
}

/**
 * The same for values that were set before a restart. A value that is no longer valid, or breaks a
 * rule, is left out, the latest first.
 */
export function overlayValidSettings(
  base: ResolvedSettings,
  set: SetTexts,
): { readonly resolved: ResolvedSettings; readonly leftOut: Readonly<Record<string, SettingFault>> } {
  const leftOut: Record<string, SettingFault> = {}
  const kept: Record<string, string> = { ...set }
  // Every round leaves one value out.
  for (;;) {
    const { resolved, faults, broken } = check(base, kept)
    const [fault] = faults
    const [rule] = broken
    const why = fault ?? (rule === undefined ? undefined : faultOfRule(rule, resolved))
    const name = fault?.setting ?? Object.keys(kept).findLast((one) => rule?.settings.includes(one as SettingName))
    if (why === undefined || name === undefined) return { resolved, leftOut }
    leftOut[name] = why
    delete kept[name]
  }
}

interface CheckResult {
  /** With the values that could be parsed. */
  readonly resolved: ResolvedSettings
  readonly faults: readonly SettingFault[]
  readonly broken: readonly Rule[]
}

function check(base: ResolvedSettings, set: SetTexts): CheckResult {
  const faults: SettingFault[] = []
  const values: Partial<Record<SettingName, unknown>> = { ...base.settings }
  const origins: Record<SettingName, SettingOrigin> = { ...base.origins }
  for (const [name, text] of Object.entries(set)) {
    const read = readValue(name, text)
    if ('fault' in read) {
      faults.push(read.fault)
      continue
    }
    values[read.name] = read.value
    origins[read.name] = Object.freeze({ origin: 'set', source: 'set', written: text })
  }
  const settings = Object.freeze(values as unknown as Settings)
  return {
    resolved: Object.freeze({ settings, origins: Object.freeze(origins) }),
    faults,
    broken: faults.length > 0 ? [] : brokenRules(settings),
  }
}

type Read = { readonly name: SettingName; readonly value: unknown } | { readonly fault: SettingFault }

function readValue(name: string, text: string): Read {
  const fault = ({ ok: _, ...refusal }: Refusal): Read => ({
    fault: { setting: name, source: name, ...refusal, given: text },
  })
  if (!isSetting(name)) {
    const nearest = nearestName(name, RUNTIME_SETTINGS)
    const what = 'unknown setting'
    if (nearest === undefined) return fault(refused('unknown-name', what, '`punctual config` lists all settings'))
    return fault(refused('unknown-name', what, `did you mean ${nearest}?`, { suggestion: nearest }))
  }
  const { kind, runtime } = recordOf(name)
  if (runtime === undefined) return fault(notChangeable(name, text))
  // The value of no runtime setting depends on the context.
  const parsed = kind.parse(text, { cwd: '/', isTerminal: false, parallelism: 1 })
  return parsed.ok ? { name, value: parsed.value } : fault(parsed)
}

function notChangeable(name: SettingName, text: string): Refusal {
  if (name !== 'workers') {
    const advice = 'change it at its source (see `punctual config`) and restart'
    return refused('not-changeable', 'cannot be changed while Punctual runs', advice)
  }
  const suggestion = `punctual scale ${text}`
  return refused('not-changeable', 'is not changed by `punctual set`', `use ${suggestion}`, { suggestion })
}

/** The change with the other settings that must move with it; null if these cannot be changed. */
function fittingChange(settings: Settings, changed: readonly SettingName[]): FittingValues | null {
  const moved = suggestValues(settings, new Set(changed))
  const names = Object.keys(moved) as SettingName[]
  if (names.length === 0 || names.some((name) => recordOf(name).runtime === undefined)) return null
  const texts = [...changed, ...names].map((name) => {
    return [name, recordOf(name).kind.format({ ...settings, ...moved }[name])] as const
  })
  return { as: 'set', values: Object.fromEntries(texts) }
}
