import type { Written } from './kind.ts'
import { recordOf, SETTING_NAMES, type SettingGroup, type SettingName } from './records.ts'
import type { ResolvedSettings, SettingOrigin } from './resolve.ts'
import { RULES } from './rules.ts'
import type { Origin } from './settings.ts'

/** The settings in force as data, for `punctual config --json`. Values are texts, written as a flag or variable would be. */
export interface SettingsReport {
  readonly configFile: string | null
  readonly settings: Readonly<
    Record<SettingName, { readonly value: string; readonly origin: Origin; readonly source: string }>
  >
  readonly rules: readonly { readonly says: string; readonly applies: boolean; readonly holds: boolean }[]
}

export function settingsReport(resolved: ResolvedSettings, configFile: string | null): SettingsReport {
  const { settings, origins } = resolved
  const entries = SETTING_NAMES.map((name) => {
    const { origin, source } = origins[name]
    return [name, { value: formatSetting(resolved, name), origin, source }] as const
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
export function settingsTable(resolved: ResolvedSettings, configFile: string | null): string {
  const rows = SETTING_NAMES.map((name) => ({
    name,
    group: recordOf(name).group,
    value: shownValue(resolved, name),
    origin: tellOrigin(resolved.origins[name]),
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
  for (const rule of RULES) {
    const applies = rule.applies(resolved.settings)
    const mark = applies ? (rule.holds(resolved.settings) ? '✓' : '✗') : '-'
    lines.push(`  ${mark} ${rule.says}${applies ? '' : '  (does not apply)'}`)
  }
  return `${lines.join('\n')}\n`
}

/** One line for each setting that somebody set, for the log of a start: `workers = 4 (--workers)`. */
export function chosenSettings(resolved: ResolvedSettings): readonly string[] {
  return SETTING_NAMES.filter((name) => resolved.origins[name].origin !== 'default').map(
    (name) => `${name} = ${formatSetting(resolved, name)} (${resolved.origins[name].source})`,
  )
}

function formatSetting({ settings }: ResolvedSettings, name: SettingName): string {
  return recordOf(name).kind.format(settings[name])
}

function shownValue(resolved: ResolvedSettings, name: SettingName): string {
  const value = formatSetting(resolved, name)
  const written: Written = resolved.origins[name].written
  if (written === 'auto') return `${value} (auto)`
  return value === '' ? '(none)' : value
}

function tellOrigin({ origin, source }: SettingOrigin): string {
  return origin === 'default' ? 'default' : `${origin}: ${source}`
}
