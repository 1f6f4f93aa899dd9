import { Command } from 'commander'
import type { ScaleChange } from '../arbiter/arbiter-control.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { addStateDirFlag, askArbiter, readStateDir } from './control-client.ts'
import { printAndExit } from './print.ts'

const MAX_WORKERS = 1024

/** `punctual scale <n|+n|-n>`: `3` sets three workers, `+1` adds one, `-1` removes one. */
export function scaleCommand(): Command {
  const command = new Command('scale')
    .description('change the number of workers')
    .argument('<n|+n|-n>', 'number of workers, or how many to add or remove')
  return addStateDirFlag(command).action(async (wanted: string, options: { readonly stateDir?: string }) => {
    const change = parseScale(wanted)
    const { message } = await askArbiter(await readStateDir(options), { command: 'scale', change })
    await printAndExit(`${message}\n`)
  })
}

export function parseScale(wanted: string): ScaleChange {
  const match = /^([+-]?)(\d{1,9})$/.exec(wanted)
  const count = Number(match?.[2])
  if (match === null || count < 1 || count > MAX_WORKERS) {
    throw new UsageError(`scale: "${wanted}" is not a number of workers; use 3, +1 or -1, up to ${MAX_WORKERS}`)
  }
  if (match[1] === '') return { to: count }
  return { by: match[1] === '-' ? -count : count }
}
