import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import type { SetOutcome } from '../arbiter/arbiter-control.ts'
import { EXIT } from '../errors/codes.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { addStateDirFlag, askArbiter, readStateDir } from './control-client.ts'
import { formatJson, printAndExit } from './print.ts'

interface Options {
  readonly json?: true
  readonly stateDir?: string
}

/**
 * `punctual set <name> <value> …`: changes settings while the app runs, all of those named or none.
 */
export function setCommand(): Command {
  const command = new Command('set')
    .description('change settings, or runtime values of the app, without a restart')
    .argument('<name>', 'a setting (requestTimeout), or a value of the app (cache.users.ttl)')
    .argument('<value>', 'written as for a flag: 20s, 512MiB, on; - reads it from standard input')
    .argument('[more...]', 'further names and values; all change together')
    .option('--force', 'also accept names that no worker has declared')
    .option('--json', 'print the outcome as JSON')
  return addStateDirFlag(command).action(
    async (name: string, value: string, more: readonly string[], options: Options & { readonly force?: true }) => {
      const values = pair([name, value, ...more])
      const force = options.force === true
      await printOutcome(await askArbiter(await readStateDir(options), { command: 'set', values, force }), options)
    },
  )
}

/** `punctual unset <name> …`: reverts `punctual set`. */
export function unsetCommand(): Command {
  const command = new Command('unset')
    .description('revert punctual set')
    .argument('[name...]', 'names that were set; all are reverted together')
    .option('--all', 'revert everything that was set')
    .option('--json', 'print the outcome as JSON')
  return addStateDirFlag(command).action(
    async (names: readonly string[], options: Options & { readonly all?: true }) => {
      if ((names.length === 0) !== (options.all === true)) {
        throw new UsageError('unset: give the names to revert, or --all; `punctual config` shows what is set')
      }
      await printOutcome(await askArbiter(await readStateDir(options), { command: 'unset', names }), options)
    },
  )
}

/** Prints the outcome and exits, with code 1 if a worker has not confirmed the change. */
function printOutcome(outcome: SetOutcome, { json }: Options): Promise<never> {
  const code = outcome.unconfirmed.length === 0 ? EXIT.stopped : EXIT.failed
  return printAndExit(json ? formatJson(outcome) : `${outcome.message}\n`, code)
}

function pair(words: readonly string[]): Record<string, string> {
  const values = new Map<string, string>()
  for (let at = 0; at < words.length; at += 2) {
    const [name = '', value] = words.slice(at, at + 2)
    if (value === undefined) {
      throw new UsageError(`set: ${name} has no value; give names and values in turn`, {
        details: { name, reason: 'no-value' },
      })
    }
    if (values.has(name)) {
      throw new UsageError(`set: ${name} is given twice; give each name once`, {
        details: { name, reason: 'duplicate' },
      })
    }
    values.set(name, value === '-' ? readStandardInput() : value)
  }
  return Object.fromEntries(values)
}

/** A value in the command line could be read by every user of the machine. */
function readStandardInput(): string {
  return readFileSync(0, 'utf8').replace(/\r?\n$/, '')
}
