import { Command } from 'commander'
import type { SetOutcome } from '../arbiter/arbiter-control.ts'
import { EXIT } from '../errors/exit-codes.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { askArbiter } from './control-client.ts'
import { addStateDirFlag, readStateDir } from './control-client-options.ts'

/** `punctual set <name> <value> …`: changes limits while the app runs, all of those named or none. */
export function setCommand(): Command {
  const command = new Command('set')
    .description('Change settings, or values the app has declared, while it runs')
    .argument('<name>', 'a setting (requestTimeout), or a value of the app (cache.users.ttl)')
    .argument('<value>', 'as a flag would be written: 20s, 512MiB, on')
    .argument('[more...]', 'more names and values; all are changed together')
    .option('--force', 'also names that no worker has declared yet')
    .option('--json', 'print the outcome as JSON')
  return addStateDirFlag(command).action(
    async (
      name: string,
      value: string,
      more: readonly string[],
      options: { readonly force?: true; readonly json?: true; readonly stateDir?: string },
    ) => {
      const values = pair([name, value, ...more])
      const force = options.force === true
      await printOutcome(await askArbiter(await readStateDir(options), { command: 'set', values, force }), options)
    },
  )
}

/** Prints what became of it, and ends the process: with 1 where a worker has not said that it has it. */
export function printOutcome(outcome: SetOutcome, options: { readonly json?: true }): Promise<never> {
  const { message, unconfirmed } = outcome
  const text = options.json ? JSON.stringify(outcome, null, 2) : message
  return new Promise(() => {
    process.stdout.write(`${text}\n`, () => process.exit(unconfirmed.length === 0 ? EXIT.stopped : EXIT.failed))
  })
}

function pair(words: readonly string[]): Record<string, string> {
  const values = new Map<string, string>()
  for (let at = 0; at < words.length; at += 2) {
    const [name = '', value] = words.slice(at, at + 2)
    if (value === undefined) {
      throw new UsageError(`set ${words.join(' ')}: ${name} has no value; write a name and a value, in turn`, {
        details: { name, reason: 'no-value' },
      })
    }
    if (values.has(name)) {
      throw new UsageError(`set ${words.join(' ')}: ${name} is there twice; write each name once`, {
        details: { name, reason: 'duplicate' },
      })
    }
    values.set(name, value)
  }
  return Object.fromEntries(values)
}
