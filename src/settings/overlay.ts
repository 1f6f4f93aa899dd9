import { type Refusal, refused } from './kind.ts'
import { nearestName } from './nearest-name.ts'
import { recordOf, SETTING_NAMES, type SettingName } from './records.ts'
import type { ResolvedSettings, SettingOrigin } from './resolve.ts'
import { brokenRules, type Rule } from './rules.ts'
import type { Settings } from './settings.ts'
import { type FittingValues, type SettingFault, SettingsError } from './settings-error.ts'
import { suggestValues } from './suggestion.ts'

/** Texts by the name of the setting, as somebody wrote them. */
export type SetTexts = Readonly<Record<string, string>>

/** Names of the settings that can be changed while Punctual runs. */
export const RUNTIME_SETTINGS: readonly SettingName[] = SETTING_NAMES.filter(
  (name) => recordOf(name).runtime !== undefined,
)

export function isSetting(name: string): name is SettingName {
  return SETTING_NAMES.includes(name as SettingName)
}

/**
 * The settings with what was set while running on top of them. Every value must apply, and all rules must hold for the whole.
 *
 * @param base as they are where nothing is set
 * @param set all that is to be in force, not only what is new
 * @param changed the names somebody changes now, for the advice
 * @throws SettingsError with all faults
 */
export function overlaySettings(
  base: ResolvedSettings,
  set: SetTexts,
  changed: readonly string[] = Object.keys(set),
): ResolvedSettings {
  const { resolved, faults, broken } = judge(base, set)
  if (faults.length > 0) throw new SettingsError(faults)
  if (broken.length === 0) return resolved
  throw new SettingsError(
    broken.map((rule) => faultOfRule(rule, resolved)),
    { fitting: fittingChange(resolved.settings, changed.filter(isSetting)) },
  )
}

/**
 * The same for values that were set before and are to hold still: one that no longer applies, or breaks a rule with what has been changed
 * meanwhile, is left out instead, the latest first.
 */
export function overlayWhatFits(
  base: ResolvedSettings,
  set: SetTexts,
): { readonly resolved: ResolvedSettings; readonly leftOut: Readonly<Record<string, SettingFault>> } {
  const leftOut: Record<string, SettingFault> = {}
  const kept: Record<string, string> = { ...set }
  // Every round leaves one out.
  for (;;) {
    const { resolved, faults, broken } = judge(base, kept)
    const [fault] = faults
    const [rule] = broken
    const why = fault ?? (rule === undefined ? undefined : faultOfRule(rule, resolved))
    const name = fault?.setting ?? Object.keys(kept).findLast((one) => rule?.settings.includes(one as SettingName))
    if (why === undefined || name === undefined) return { resolved, leftOut }
    leftOut[name] = why
    delete kept[name]
  }
}

interface Judgement {
  /** With those that could be read. */
  readonly resolved: ResolvedSettings
  readonly faults: readonly SettingFault[]
  readonly broken: readonly Rule[]
}

function judge(base: ResolvedSettings, set: SetTexts): Judgement {
  const faults: SettingFault[] = []
  const values: Partial<Record<SettingName, unknown>> = { ...base.settings }
  const origins: Record<SettingName, SettingOrigin> = { ...base.origins }
  for (const [name, text] of Object.entries(set)) {
    const read = readHot(name, text)
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

function readHot(name: string, text: string): Read {
  const fault = ({ ok: _, ...refusal }: Refusal): Read => ({
    fault: { setting: name, source: name, ...refusal, given: text },
  })
  if (!isSetting(name)) {
    const nearest = nearestName(name, RUNTIME_SETTINGS)
    const what = 'there is no such setting'
    if (nearest === undefined) return fault(refused('unknown-name', what, 'see `punctual config`'))
    return fault(refused('unknown-name', what, `did you mean ${nearest}?`, { suggestion: nearest }))
  }
  const { kind, runtime: hot } = recordOf(name)
  if (hot === undefined) {
    return fault(
      name === 'workers'
        ? refused('not-changeable', 'it is not changed by `punctual set`', `write punctual scale ${text}`, {
            suggestion: `punctual scale ${text}`,
          })
        : refused(
            'not-changeable',
            'it cannot be changed while Punctual runs',
            'change it where it comes from (see `punctual config`) and start again',
          ),
    )
  }
  // None of the settings that can be changed depends on where it is read.
  const parsed = kind.parse(text, { cwd: '/', isTerminal: false, parallelism: 1 })
  return parsed.ok ? { name, value: parsed.value } : fault(parsed)
}

function faultOfRule(rule: Rule, { settings, origins }: ResolvedSettings): SettingFault {
  const [first, second] = rule.settings.map((name) => {
    return `${name} (${recordOf(name).kind.format(settings[name])}, ${origins[name].source})`
  })
  const relation = rule.order?.strict === false ? 'must not be more than' : 'must be less than'
  return {
    setting: null,
    source: `rule ${rule.says}`,
    kind: 'rule-broken',
    rule: rule.says,
    what: `${first} ${relation} ${second}`,
    advice: rule.why.replace(/\.$/, ''),
  }
}

/** What is wanted, with what has to move with it; null if that cannot be changed, or does not come out. */
function fittingChange(settings: Settings, changed: readonly SettingName[]): FittingValues | null {
  const moved = suggestValues(settings, new Set(changed))
  const names = Object.keys(moved) as SettingName[]
  if (names.length === 0 || names.some((name) => recordOf(name).runtime === undefined)) return null
  const texts = [...changed, ...names].map((name) => {
    return [name, recordOf(name).kind.format({ ...settings, ...moved }[name])] as const
  })
  return { as: 'set', values: Object.fromEntries(texts) }
}
