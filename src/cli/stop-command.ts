import { Command } from 'commander'
import { formatProgress } from '../arbiter/control-protocol.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { monotonicNow, pause } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { isProcessRunning, startOf } from '../system/process-identity.ts'
import { addStateDirFlag, askArbiter, readStateDir, timeoutFlag } from './control-client.ts'
import { printAndExit, printProgress } from './print.ts'

const POLL_INTERVAL = ms(200)

/** `punctual stop`: drains the workers and returns when the arbiter has exited. */
export function stopCommand(): Command {
  const command = new Command('stop')
    .description('finish the requests in flight, then stop the workers and the arbiter')
    .addOption(timeoutFlag('How long to wait until the arbiter exits; it stops in any case.', '2m'))
  return addStateDirFlag(command).action(
    async (options: { readonly timeout: Milliseconds; readonly stateDir?: string }) => {
      const stateDir = await readStateDir(options)
      const start = monotonicNow()
      const { pid } = await askArbiter(stateDir, { command: 'status' }, { timeout: ms(10_000) })
      const failure = await askToStop(stateDir, options.timeout)
      await waitUntilExited(stateDir, pid, start, options.timeout)
      if (failure !== null) throw failure
      await printAndExit(`arbiter (pid ${pid}) stopped after ${formatElapsed(monotonicNow() - start)}\n`)
    },
  )
}

/** Returns the error if the shutdown of a worker has failed. */
async function askToStop(stateDir: string, timeout: Milliseconds): Promise<PunctualError | null> {
  try {
    await askArbiter(stateDir, { command: 'stop' }, { timeout, onProgress: printProgress })
    return null
  } catch (error) {
    if (!(error instanceof PunctualError)) throw error
    if (error.code === 'PUNCTUAL_STOP_FAILED') return error
    // It may exit before its answer arrives; and what is printed after a timeout needs its pid.
    if (error.code === 'PUNCTUAL_ARBITER_NOT_RUNNING' || error.code === 'PUNCTUAL_COMMAND_TIMED_OUT') return null
    throw error
  }
}

async function waitUntilExited(stateDir: string, pid: number, start: number, timeout: Milliseconds): Promise<void> {
  // Its pid is checked too where it is visible, which it is not across containers.
  const arbiter = { pid, start: startOf(pid) }
  const isVisible = isProcessRunning(arbiter)
  let lastProgress = ''
  for (;;) {
    const progress = await readProgress(stateDir)
    if (progress === null && !(isVisible && isProcessRunning(arbiter))) return
    if (progress !== null && progress !== lastProgress && progress !== '') printProgress(progress)
    lastProgress = progress ?? lastProgress
    if (monotonicNow() - start > timeout) {
      throw new PunctualError(
        'PUNCTUAL_COMMAND_TIMED_OUT',
        `arbiter (pid ${pid}) did not exit within ${formatElapsed(timeout)} of the stop command; see its log, or kill it with kill -9 ${pid}`,
        { details: { pid, waitedMs: timeout } },
      )
    }
    await pause(POLL_INTERVAL)
  }
}

/** Empty if the arbiter does not answer, null if it no longer listens. */
async function readProgress(stateDir: string): Promise<string | null> {
  try {
    return formatProgress(await askArbiter(stateDir, { command: 'status' }, { timeout: ms(2_000) }))
  } catch (error) {
    return error instanceof PunctualError && error.code === 'PUNCTUAL_ARBITER_NOT_RUNNING' ? null : ''
  }
}
