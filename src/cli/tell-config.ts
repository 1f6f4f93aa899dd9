import type { SettingsInForce } from '../arbiter/arbiter-control.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { SETTING_NAMES, type SettingName } from '../settings/records.ts'
import type { ReportedSetting, SettingsReport } from '../settings/settings-report.ts'

const COLUMNS: readonly Column[] = [
  { heading: 'NAME', align: 'left' },
  { heading: 'VALUE', align: 'left' },
  { heading: 'ORIGIN', align: 'left' },
]

/** The values that the app has declared, and those that were set for it; no lines if there are none. */
export function tellDeclared({ declared, set }: SettingsInForce): readonly string[] {
  const rows = declared.map(({ name, values, standard, isSet }) => [
    name,
    values.join(' or '),
    isSet ? `set, else ${standard}` : 'app',
  ])
  for (const [name, { value }] of Object.entries(set)) {
    const isOfApp = name.includes('.') && !declared.some((one) => one.name === name)
    if (isOfApp) rows.push([name, value, 'set, declared by no worker'])
  }
  return rows.length === 0 ? [] : ['Values of the app', textTable(COLUMNS, rows)]
}

/** Where a start with what is here now (config file, environment) would differ from what runs, by name. */
export function changedAtNextStart(
  running: SettingsReport,
  next: SettingsReport,
): Readonly<Partial<Record<SettingName, ReportedSetting>>> {
  const changed = SETTING_NAMES.filter((name) => {
    const [now, then] = [running.settings[name], next.settings[name]]
    // A flag is not repeated here, and only a terminal says what `auto` is there.
    return now !== undefined && now.origin !== 'flag' && then.auto !== true && now.value !== then.value
  })
  return Object.fromEntries(changed.map((name) => [name, next.settings[name]]))
}

/** The same in lines; none if there is no difference. */
export function tellNextStart(running: SettingsReport, next: SettingsReport): readonly string[] {
  const lines = Object.entries(changedAtNextStart(running, next)).map(
    ([name, { value, source }]) => `  ${name} = ${value} (${source})`,
  )
  return lines.length === 0 ? [] : ['A start from here, with the same flags, would have', ...lines, '']
}
