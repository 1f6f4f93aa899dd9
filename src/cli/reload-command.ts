import { Command } from 'commander'
import type { Milliseconds } from '../resilience/duration.ts'
import { askArbiter } from './control-client.ts'
import { addStateDirFlag, limitFlag, readStateDir } from './control-client-options.ts'
import { printAndExit, printProgress } from './print.ts'

/** `punctual reload`: waits for the new generation; fails with the reason if it does not boot and the old keeps serving. */
export function reloadCommand(): Command {
  const command = new Command('reload')
    .description('Start a new generation of workers; the old leave once it is ready')
    // Waiting for another's release and carrying out one's own may take 25 minutes by the defaults, and then it is to boot.
    .addOption(limitFlag('How long to wait for the outcome; the reload itself goes on.', '30m'))
  return addStateDirFlag(command).action(
    async (options: { readonly limit: Milliseconds; readonly stateDir?: string }) => {
      const stateDir = await readStateDir(options)
      const ask = { limit: options.limit, onProgress: printProgress }
      const { message } = await askArbiter(stateDir, { command: 'reload' }, ask)
      await printAndExit(`${message}\n`)
    },
  )
}
