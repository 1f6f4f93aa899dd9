import { Command } from 'commander'
import type { SettingsInForce } from '../arbiter/arbiter-control.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { printable } from '../redaction/printable.ts'
import { redact } from '../redaction/redaction.ts'
import { ms } from '../resilience/duration.ts'
import { SETTING_NAMES, type SettingName } from '../settings/records.ts'
import {
  formatSettings,
  type ReportedSetting,
  type SettingsReport,
  settingsReport,
} from '../settings/settings-report.ts'
import { askArbiter } from './control-client.ts'
import { formatJson, printAndExit, printError, printProgress } from './print.ts'
import { addSettingsFlags, readSettings, restoreSettings } from './settings-flags.ts'

/** Long enough for an arbiter that runs, short enough for a user who waits for a page of text. */
const ASK_TIMEOUT = ms(3_000)

/**
 * `punctual config`: every setting with its origin, and the rules. Shows the running arbiter,
 * unless a setting is given as a flag; else what `punctual run` would use with the same flags.
 */
export function configCommand(): Command {
  const command = new Command('config')
    .description('print every setting, its origin, and the rules between settings')
    .option('--json', 'print JSON')
  return addSettingsFlags(command).action(async (options: { readonly json?: true }) => {
    const { configFile, releases: _, ...base } = await readSettings(command, true)
    const restored = await restoreSettings(base)
    const next = settingsReport(restored.resolved, configFile)
    const running = isPreview(command) ? null : await askRunning(base.settings.stateDir)
    if (restored.fault !== null) {
      printProgress(printable(`punctual: cannot read ${restored.fault.path}: ${restored.fault.why}`))
    }
    for (const { message } of restored.leftOut) printProgress(`punctual: ${message}`)
    await printAndExit(options.json ? formatJson(withNextStart(next, running)) : formatConfig(next, running))
  })
}

/** Flags make it a preview of a start. `--state-dir` only selects the arbiter. */
function isPreview(command: Command): boolean {
  return SETTING_NAMES.some((name) => name !== 'stateDir' && command.getOptionValueSource(name) === 'cli')
}

/**
 * Null if no arbiter runs. An arbiter that does not answer is reported, and the rest is printed.
 */
async function askRunning(stateDir: string): Promise<SettingsInForce | null> {
  try {
    const timeouts = { silenceTimeout: ASK_TIMEOUT, timeout: ASK_TIMEOUT }
    return await askArbiter(stateDir, { command: 'settings' }, timeouts)
  } catch (error) {
    if (!(error instanceof PunctualError)) throw error
    if (error.code !== 'PUNCTUAL_ARBITER_NOT_RUNNING') printError(error)
    return null
  }
}

function withNextStart(next: SettingsReport, running: SettingsInForce | null): object {
  return running === null ? next : { ...running, nextStart: changedAtNextStart(running, next) }
}

function formatConfig(next: SettingsReport, running: SettingsInForce | null): string {
  if (running === null) return formatSettings(forTerminal(next))
  return [
    `in effect in the arbiter (pid ${running.pid})`,
    formatSettings(forTerminal(running)),
    ...formatDeclared(running),
    ...formatNextStart(running, next),
  ].join('\n')
}

/** The report of an arbiter, of files and of the environment, without secrets and controls. */
function forTerminal({ configFile, settings, rules }: SettingsReport): SettingsReport {
  const clean = (text: string): string => printable(redact(text))
  const entries = Object.entries(settings).map(([name, one]) => {
    return [name, { ...one, value: clean(one.value), origin: clean(one.origin), source: clean(one.source) }]
  })
  return {
    configFile: configFile === null ? null : printable(configFile),
    settings: Object.fromEntries(entries) as SettingsReport['settings'],
    rules: rules.map((one) => ({ ...one, rule: printable(one.rule) })),
  }
}

const COLUMNS: readonly Column[] = [
  { heading: 'NAME', align: 'left' },
  { heading: 'VALUE', align: 'left' },
  { heading: 'ORIGIN', align: 'left' },
]

/** The runtime values that the app declares or that are set for it; no lines if there are none. */
export function formatDeclared({ declared, set }: SettingsInForce): readonly string[] {
  const rows = declared.map(({ name, values, standard, isSet }) => [
    name,
    values.join(' or '),
    isSet ? `set (app: ${standard})` : 'app',
  ])
  for (const [name, { value }] of Object.entries(set)) {
    const isOfApp = name.includes('.') && !declared.some((one) => one.name === name)
    if (isOfApp) rows.push([name, value, 'set (not declared by any worker)'])
  }
  return rows.length === 0 ? [] : ['Runtime values of the app', textTable(COLUMNS, rows)]
}

/** What a start with the present config file and environment would change, by name. */
export function changedAtNextStart(
  running: SettingsReport,
  next: SettingsReport,
): Readonly<Partial<Record<SettingName, ReportedSetting>>> {
  const changed = SETTING_NAMES.filter((name) => {
    const [now, then] = [running.settings[name], next.settings[name]]
    // A start would repeat the flags, and `auto` may resolve differently there.
    return now !== undefined && now.origin !== 'flag' && then.auto !== true && now.value !== then.value
  })
  return Object.fromEntries(changed.map((name) => [name, next.settings[name]]))
}

/** The same as lines; none if nothing would change. */
export function formatNextStart(running: SettingsReport, next: SettingsReport): readonly string[] {
  const lines = Object.entries(changedAtNextStart(running, next)).map(([name, { value, source }]) =>
    printable(`  ${name} = ${value} (${source})`),
  )
  return lines.length === 0 ? [] : ['A restart with the same flags would change', ...lines, '']
}
