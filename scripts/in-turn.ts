import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { constants } from 'node:os'

/** Arguments of one process. */
type Command = readonly string[]

/**
 * Runs one process after the other, also if one fails. Forwards SIGINT and SIGTERM to the running
 * one and starts no other.
 *
 * @param node path of the Node that runs them
 * @returns the first exit code that is not 0, 1 for a process that was killed; 128 plus the number
 * of the signal after one
 */
export async function runInTurn(node: string, commands: readonly Command[], options: SpawnOptions): Promise<number> {
  let running: ChildProcess | undefined
  let stopped: NodeJS.Signals | undefined
  const stop = (signal: NodeJS.Signals): void => {
    stopped = signal
    running?.kill(signal)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  let result = 0
  for (const command of commands) {
    if (stopped !== undefined) break
    running = spawn(node, command, options)
    const code = await exitCodeOf(running)
    running = undefined
    if (result === 0) result = code
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
  return stopped === undefined ? result : 128 + constants.signals[stopped]
}

function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
