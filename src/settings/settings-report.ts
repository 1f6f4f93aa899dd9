import type { SettingGroup } from './kind.ts'
import { recordOf, SETTING_NAMES, type SettingName } from './records.ts'
import { RULES } from './rules.ts'
import type { Origin, ResolvedSettings } from './settings.ts'

/** A value as a flag or variable would be written, and where it comes from. */
export interface ReportedSetting {
  readonly value: string
  readonly origin: Origin
  readonly source: string
  /** The source says `auto`, which was resolved to this value. */
  readonly auto?: true
}

/** The settings as data, for `punctual config --json` and the control socket. */
export interface SettingsReport {
  readonly configFile: string | null
  readonly settings: Readonly<Record<SettingName, ReportedSetting>>
  readonly rules: readonly { readonly rule: string; readonly applies: boolean; readonly holds: boolean }[]
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
      rule: rule.text,
      applies: rule.applies(settings),
      holds: !rule.applies(settings) || rule.holds(settings),
    })),
  }
}

/** The report as text: name, value and origin under headings, then the rules. */
export function formatSettings({ configFile, settings, rules }: SettingsReport): string {
  // An arbiter of another version may have other settings.
  const rows = SETTING_NAMES.filter((name) => settings[name] !== undefined).map((name) => ({
    name,
    group: recordOf(name).group,
    value: shownValue(settings[name]),
    origin: shownOrigin(settings[name]),
  }))
  const nameWidth = Math.max(...rows.map(({ name }) => name.length))
  // A long path does not widen the column: it would move every origin off the screen.
  const valueWidth = Math.max(...rows.map(({ value }) => value.length).filter((width) => width <= 28))
  const lines = [`config file: ${configFile ?? 'none'}`]
  let group: SettingGroup | undefined
  for (const row of rows) {
    if (row.group !== group) lines.push('', row.group)
    group = row.group
    lines.push(`  ${row.name.padEnd(nameWidth)}  ${row.value.padEnd(valueWidth)}  ${row.origin}`)
  }
  lines.push('', 'Rules')
  for (const { rule, applies, holds } of rules) {
    const mark = applies ? (holds ? '✓' : '✗') : '-'
    lines.push(`  ${mark} ${rule}${applies ? '' : '  (does not apply)'}`)
  }
  return `${lines.join('\n')}\n`
}

/** The settings that differ from their defaults by source, for the log of a start. */
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

function shownOrigin({ origin, source }: ReportedSetting): string {
  return origin === source ? origin : `${origin}: ${source}`
}
