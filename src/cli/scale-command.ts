import { Command } from 'commander'
import type { ScaleChange } from '../arbiter/arbiter-control.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { askArbiter } from './control-client.ts'
import { addStateDirFlag, readStateDir } from './control-client-options.ts'
import { printAndExit } from './print.ts'

const MOST_WORKERS = 1024

/** `punctual scale <n|+n|-n>`: `3` means three workers, `+1` one more, `-1` one fewer. */
export function scaleCommand(): Command {
  const command = new Command('scale')
    .description('Change the number of workers')
    .argument('<n|+n|-n>', 'how many there should be, how many more, or how many fewer')
  return addStateDirFlag(command).action(async (wanted: string, options: { readonly stateDir?: string }) => {
    const change = parseScale(wanted)
    const { message } = await askArbiter(await readStateDir(options), { command: 'scale', change })
    await printAndExit(`${message}\n`)
  })
}

export function parseScale(wanted: string): ScaleChange {
  const match = /^([+-]?)(\d{1,9})$/.exec(wanted)
  const count = Number(match?.[2])
  if (match === null || count < 1 || count > MOST_WORKERS) {
    throw new UsageError(`scale ${wanted}: that is no number of workers; write 3, +1 or -1, up to ${MOST_WORKERS}`)
  }
  if (match[1] === '') return { to: count }
  return { by: match[1] === '-' ? -count : count }
}
