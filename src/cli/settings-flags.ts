import { type Command, Option } from 'commander'
import { readSetFile, type SetFile, type SetValues } from '../arbiter/set-file.ts'
import { printable } from '../redaction/printable.ts'
import { isSecretName, REDACTED } from '../redaction/redaction.ts'
import { RELEASE_SECTION } from '../release/read-release-plan.ts'
import { loadConfigFile } from '../settings/config-file.ts'
import type { Written } from '../settings/kind.ts'
import { overlayValidSettings } from '../settings/overlay.ts'
import { recordOf, SETTING_NAMES, type SettingName } from '../settings/records.ts'
import { isSetting, resolveSettings } from '../settings/resolve.ts'
import { flagOf, type ResolvedSettings, variableOf } from '../settings/settings.ts'
import type { SettingFault } from '../settings/settings-error.ts'
import type { ReportedSetting } from '../settings/settings-report.ts'
import { defaultStateDirectory, workingDirectory } from '../system/working-directory.ts'

/** Adds one flag for each setting, under the headings of the reference, and `--config`. */
export function addSettingsFlags(command: Command): Command {
  command.addOption(
    new Option(
      '--config <file>',
      'Config file. Default: punctual.config.{ts,mts,js,mjs,json} in the working directory.',
    ),
  )
  for (const name of SETTING_NAMES) command.addOption(optionOf(name))
  return command
}

function optionOf(name: SettingName): Option {
  const { kind, prose, group, bare, default: written } = recordOf(name)
  const value = written.length === 0 ? 'none' : String(written)
  const option = new Option(
    bare === undefined ? `${flagOf(name)} <${kind.label}>` : flagOf(name),
    `${prose.replaceAll('`', '')} [${value}; ${variableOf(name)}]`,
  )
  option.helpGroup(`${group}:`)
  // Commander's own choices and defaults are not used: the settings module reports all faults at
  // once.
  if (kind.list) option.argParser((entry: string, before: readonly string[] = []) => [...before, entry])
  return option
}

/** The settings of a command, with what it must know of the config file. */
export interface CommandSettings extends ResolvedSettings {
  /** Absolute path; null if there is none. */
  readonly configFile: string | null
  /** Whether the config file has release steps. */
  readonly releases: boolean
}

/**
 * The settings of a command from all sources but `punctual set`. The log goes to standard output,
 * so that decides the `auto` format.
 *
 * @param ownOnly whether to refuse a config file that another user may have written
 * @throws SettingsError with every fault
 */
export async function readSettings(command: Command, ownOnly = false): Promise<CommandSettings> {
  const { config, ...given } = command.opts<
    { readonly config?: string } & Readonly<Record<string, Written | undefined>>
  >()
  const cwd = workingDirectory()
  const file = await loadConfigFile({ cwd, named: config, ownOnly })
  const flags = Object.fromEntries(
    SETTING_NAMES.filter((name) => command.getOptionValueSource(name) === 'cli').map((name) => [
      name,
      recordOf(name).bare ?? given[name],
    ]),
  )
  const { env, stdout } = process
  const sections = [RELEASE_SECTION]
  const stateDir = defaultStateDirectory(cwd)
  const resolved = resolveSettings({ flags, env, file, sections, cwd, stateDir, isTerminal: stdout.isTTY === true })
  const steps = file?.values.release
  return { ...resolved, configFile: file?.path ?? null, releases: Array.isArray(steps) && steps.length > 0 }
}

/** The settings with the values of `punctual set`, which are kept over a restart. */
export interface RestoredSettings {
  readonly resolved: ResolvedSettings
  /** The values that are still valid. Whether those of the app are is for the app to decide. */
  readonly set: SetValues
  /** Why the file could not be read; null if it could. */
  readonly fault: SetFile['fault']
  /** The values that are no longer valid. */
  readonly leftOut: readonly LeftOut[]
}

interface LeftOut {
  readonly name: string
  readonly value: string
  readonly fault: SettingFault
  readonly message: string
}

/** Applies the values that `punctual set` has stored in the state directory. Never rejects. */
export async function restoreSettings(base: ResolvedSettings): Promise<RestoredSettings> {
  const { values, fault } = await readSetFile(base.settings.stateDir)
  const texts = [...values].map(([name, { value }]) => [name, value] as const)
  // Values of the app have a dot in their name; another unknown name is a setting of another
  // version.
  const ofPunctual = texts.filter(([name]) => isSetting(name) || !name.includes('.'))
  const { resolved, leftOut } = overlayValidSettings(base, Object.fromEntries(ofPunctual))
  return {
    resolved,
    set: new Map([...values].filter(([name]) => !Object.hasOwn(leftOut, name))),
    fault,
    leftOut: Object.entries(leftOut).map(([name, why]) => {
      const value = isSecretName(name) ? REDACTED : (values.get(name)?.value ?? '')
      return { name, value, fault: why, message: printable(`ignoring ${name} = ${value} (set): ${why.what}`) }
    }),
  }
}

/** The restored values of the app, for the log of a start. */
export function restoredValues(set: SetValues): readonly (ReportedSetting & { readonly name: string })[] {
  return [...set]
    .filter(([name]) => !isSetting(name))
    .map(([name, { value, secret }]) => {
      const shown = secret === true || isSecretName(name) ? REDACTED : value
      return { name, value: shown, origin: 'set', source: 'set' }
    })
}
