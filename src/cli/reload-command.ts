import { Command } from 'commander'
import type { Milliseconds } from '../resilience/duration.ts'
import { addStateDirFlag, askArbiter, readStateDir, timeoutFlag } from './control-client.ts'
import { printAndExit, printProgress } from './print.ts'

/** `punctual reload`: waits for the new generation; fails with the reason if it does not boot. */
export function reloadCommand(): Command {
  const command = new Command('reload')
    .description('start a new generation of workers; the old ones drain once it is ready')
    // Waiting for another machine's release and running the own one may take 25 minutes by default.
    .addOption(timeoutFlag('How long to wait for the outcome; the reload itself continues.', '30m'))
  return addStateDirFlag(command).action(
    async (options: { readonly timeout: Milliseconds; readonly stateDir?: string }) => {
      const stateDir = await readStateDir(options)
      const ask = { timeout: options.timeout, onProgress: printProgress }
      const { message } = await askArbiter(stateDir, { command: 'reload' }, ask)
      await printAndExit(`${message}\n`)
    },
  )
}
