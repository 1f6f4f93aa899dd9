import { Command } from 'commander'
import { formatProgress } from '../arbiter/control-protocol.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { monotonicNow, pause } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { askArbiter } from './control-client.ts'
import { addStateDirFlag, limitFlag, readStateDir } from './control-client-options.ts'
import { printAndExit, printProgress } from './print.ts'

const BETWEEN_LOOKS = ms(200)

/** `punctual stop`: drains and stops, and comes back when the arbiter has gone. */
export function stopCommand(): Command {
  const command = new Command('stop')
    .description('Finish the requests in flight, stop the workers and the arbiter')
    .addOption(limitFlag('How long to wait until the arbiter has gone; it goes all the same.', '2m'))
  return addStateDirFlag(command).action(
    async (options: { readonly limit: Milliseconds; readonly stateDir?: string }) => {
      const stateDir = await readStateDir(options)
      const start = monotonicNow()
      const { pid } = await askArbiter(stateDir, { command: 'status' }, { limit: ms(10_000) })
      await askToStop(stateDir, options.limit)
      await waitUntilGone(stateDir, pid, start, options.limit)
      await printAndExit(`the arbiter with pid ${pid} has stopped after ${formatElapsed(monotonicNow() - start)}\n`)
    },
  )
}

async function askToStop(stateDir: string, limit: Milliseconds): Promise<void> {
  try {
    await askArbiter(stateDir, { command: 'stop' }, { limit, onProgress: printProgress })
  } catch (error) {
    // It may be gone before its answer has arrived.
    if (!(error instanceof PunctualError && error.code === 'PUNCTUAL_ARBITER_NOT_RUNNING')) throw error
  }
}

async function waitUntilGone(stateDir: string, pid: number, start: number, limit: Milliseconds): Promise<void> {
  // Its pid is a second witness, where this machine can see it (not across containers).
  const visible = lives(pid)
  let told = ''
  for (;;) {
    const progress = await look(stateDir)
    if (progress === null && !(visible && lives(pid))) return
    if (progress !== null && progress !== told && progress !== '') printProgress(progress)
    told = progress ?? told
    if (monotonicNow() - start > limit) {
      throw new PunctualError(
        'PUNCTUAL_COMMAND_TIMED_OUT',
        `the arbiter with pid ${pid} is still there after ${formatElapsed(limit)}; it has been told to stop, see its log, or end it with kill -9 ${pid}`,
      )
    }
    await pause(BETWEEN_LOOKS)
  }
}

/** How far it is; empty where it does not say, null where it no longer listens. */
async function look(stateDir: string): Promise<string | null> {
  try {
    return formatProgress(await askArbiter(stateDir, { command: 'status' }, { limit: ms(2_000) }))
  } catch (error) {
    return error instanceof PunctualError && error.code === 'PUNCTUAL_ARBITER_NOT_RUNNING' ? null : ''
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
