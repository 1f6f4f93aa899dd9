import { type Command, Option } from 'commander'
import { RELEASE_SECTION } from '../release/read-release-plan.ts'
import { loadConfigFile } from '../settings/config-file.ts'
import type { Written } from '../settings/kind.ts'
import { recordOf, SETTING_NAMES, type SettingName } from '../settings/records.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { flagOf, type ResolvedSettings, variableOf } from '../settings/settings.ts'

/** Gives a command one flag for each setting, under the headings of the reference, and `--config`. */
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
  // Commander's own choices, defaults and variables stay unused: the settings' room reads values, and tells all faults at once.
  if (kind.list) option.argParser((entry: string, before: readonly string[] = []) => [...before, entry])
  return option
}

/**
 * The settings in force for this run of a command. Throws one `SettingsError` with all faults. The log, and so `auto` format,
 * goes to standard output.
 */
export async function readSettings(
  command: Command,
): Promise<ResolvedSettings & { readonly configFile: string | null; readonly releases: boolean }> {
  const { config, ...given } = command.opts<
    { readonly config?: string } & Readonly<Record<string, Written | undefined>>
  >()
  const cwd = process.cwd()
  const file = await loadConfigFile({ cwd, named: config })
  const flags = Object.fromEntries(
    SETTING_NAMES.filter((name) => command.getOptionValueSource(name) === 'cli').map((name) => [
      name,
      recordOf(name).bare ?? given[name],
    ]),
  )
  const resolved = resolveSettings({
    flags,
    env: process.env,
    file,
    sections: [RELEASE_SECTION],
    cwd,
    isTerminal: process.stdout.isTTY === true,
  })
  const steps = file?.values.release
  return { ...resolved, configFile: file?.path ?? null, releases: Array.isArray(steps) && steps.length > 0 }
}
