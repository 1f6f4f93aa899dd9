import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type Milliseconds, parseDuration } from '../resilience/duration.ts'
import { loadConfigFile } from '../settings/config-file.ts'

/** Gives a command the flag that names the arbiter it is meant for. */
export function addStateDirFlag(command: Command): Command {
  return command.option(
    '--state-dir <path>',
    'State directory of the arbiter. [PUNCTUAL_STATE_DIR, else the config file, else .punctual]',
  )
}

/**
 * The state directory a command is meant for, found as `punctual run` finds its own: flag, environment, config file, default. A config
 * file that cannot be loaded does not keep anybody from stopping what runs: then it is the default.
 */
export async function readStateDir(options: { readonly stateDir?: string }): Promise<string> {
  const named = options.stateDir ?? process.env.PUNCTUAL_STATE_DIR
  if (named !== undefined && named !== '') return resolve(named)
  const file = await loadConfigFile({ cwd: process.cwd() }).catch(() => undefined)
  const written = file?.values.stateDir
  return resolve(typeof written === 'string' && written !== '' ? written : '.punctual')
}

/** `--limit`: how long the command itself waits. */
export function limitFlag(prose: string, written: string): Option {
  const limit = parseDuration(written)
  return new Option('--limit <duration>', `${prose} [${written}]`).default(limit).argParser((text): Milliseconds => {
    const parsed = parseDuration(text)
    if (parsed === undefined) throw new InvalidArgumentError('Write a duration: 250ms, 30s, 10m or unbounded.')
    return parsed
  })
}
