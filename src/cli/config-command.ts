import { Command } from 'commander'
import { EXIT } from '../errors/exit-codes.ts'
import { settingsReport, settingsTable } from '../settings/settings-table.ts'
import { addSettingsFlags, readSettings } from './settings-flags.ts'

/** `punctual config`: the settings that `punctual run` would have with the same flags, each with its origin, and the rules. */
export function configCommand(): Command {
  const command = new Command('config')
    .description('Print every setting, where it comes from, and the rules between them')
    .option('--json', 'as JSON')
  return addSettingsFlags(command).action(async (options: { readonly json?: true }) => {
    const { configFile, ...resolved } = await readSettings(command)
    const text = options.json
      ? `${JSON.stringify(settingsReport(resolved, configFile), null, 2)}\n`
      : settingsTable(resolved, configFile)
    // A config file may have left something open (a connection, a timer); it must not keep a command that only prints.
    process.stdout.write(text, () => process.exit(EXIT.stopped))
  })
}
