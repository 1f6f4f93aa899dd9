import { recordOf, SETTING_NAMES, type SettingGroup, type SettingName } from './records.ts'
import type { ResolvedSettings } from './resolve.ts'
import { RULES } from './rules.ts'
import type { Origin } from './settings.ts'

/** A value, written as a flag or variable would be, and where it comes from. */
export interface ReportedSetting {
  readonly value: string
  readonly origin: Origin
  readonly source: string
  /** Somebody wrote `auto`, which became this value. */
  readonly auto?: true
}

/** Settings as data, for `punctual config --json` and the control socket. */
export interface SettingsReport {
  readonly configFile: string | null
  readonly settings: Readonly<Record<SettingName, ReportedSetting>>
  readonly rules: readonly { readonly says: string; readonly applies: boolean; readonly holds: boolean }[]
}

export function settingsReport(resolved: ResolvedSettings, configFile: string | null): SettingsReport {
  const { settings, origins } = resolved
  const entries = SETTING_NAMES.map((name) => {
    const { origin, source, written } = origins[name]
    const reported: ReportedSetting = { value: formatSetting(resolved, name), origin, source }
    return [name, written === 'auto' ? { ...reported, auto: true } : reported] as const
  })
  return {
    configFile,
    settings: Object.fromEntries(entries) as SettingsReport['settings'],
    rules: RULES.map((rule) => ({
      says: rule.says,
      applies: rule.applies(settings),
      holds: !rule.applies(settings) || rule.holds(settings),
    })),
  }
}

/** The same for people: name, value and origin under headings, then the rules. */
export function settingsTable({ configFile, settings, rules }: SettingsReport): string {
  // An arbiter of another version may have others.
  const rows = SETTING_NAMES.filter((name) => settings[name] !== undefined).map((name) => ({
    name,
    group: recordOf(name).group,
    value: shownValue(settings[name]),
    origin: tellOrigin(settings[name]),
  }))
  const nameWidth = Math.max(...rows.map(({ name }) => name.length))
  // A long path would push every origin off the screen, so it may stick out alone.
  const valueWidth = Math.max(...rows.map(({ value }) => value.length).filter((width) => width <= 28))
  const lines = [`config file: ${configFile ?? 'none'}`]
  let group: SettingGroup | undefined
  for (const row of rows) {
    if (row.group !== group) lines.push('', row.group)
    group = row.group
    lines.push(`  ${row.name.padEnd(nameWidth)}  ${row.value.padEnd(valueWidth)}  ${row.origin}`)
  }
  lines.push('', 'Rules')
  for (const { says, applies, holds } of rules) {
    const mark = applies ? (holds ? '✓' : '✗') : '-'
    lines.push(`  ${mark} ${says}${applies ? '' : '  (does not apply)'}`)
  }
  return `${lines.join('\n')}\n`
}

/** The settings that somebody set, for the log of a start. */
export function chosenSettings(resolved: ResolvedSettings): readonly (ReportedSetting & { readonly name: string })[] {
  return SETTING_NAMES.filter((name) => resolved.origins[name].origin !== 'default').map((name) => {
    const { origin, source } = resolved.origins[name]
    return { name, value: formatSetting(resolved, name), origin, source }
  })
}

function formatSetting({ settings }: ResolvedSettings, name: SettingName): string {
  return recordOf(name).kind.format(settings[name])
}

function shownValue({ value, auto }: ReportedSetting): string {
  if (auto === true) return `${value} (auto)`
  return value === '' ? '(none)' : value
}

function tellOrigin({ origin, source }: ReportedSetting): string {
  return origin === source ? origin : `${origin}: ${source}`
}
