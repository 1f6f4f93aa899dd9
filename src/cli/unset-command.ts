import { Command } from 'commander'
import { UsageError } from '../errors/punctual-error.ts'
import { askArbiter } from './control-client.ts'
import { addStateDirFlag, readStateDir } from './control-client-options.ts'
import { printOutcome } from './set-command.ts'

/** `punctual unset <name> …`: takes back what `punctual set` has set. */
export function unsetCommand(): Command {
  const command = new Command('unset')
    .description('Take back what punctual set has set')
    .argument('[name...]', 'what was set; all are taken back together')
    .option('--all', 'everything that was set')
    .option('--json', 'print the outcome as JSON')
  return addStateDirFlag(command).action(
    async (
      names: readonly string[],
      options: { readonly all?: true; readonly json?: true; readonly stateDir?: string },
    ) => {
      if ((names.length === 0) !== (options.all === true)) {
        throw new UsageError('unset: name what to take back, or write --all; `punctual config` shows what is set')
      }
      await printOutcome(await askArbiter(await readStateDir(options), { command: 'unset', names }), options)
    },
  )
}
