// The entry of the process in which one step of a release runs. It leads a process group of its own, with everything that the step starts.
import type { FromStep, StepEnd, ToStep } from '../messages.ts'
import { runCommand } from './run-command.ts'
import { runFunction } from './run-function.ts'

const abort = new AbortController()

function say(message: FromStep): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, () => resolve())
  })
}

// Whoever releases has died, and the lock with it: nothing of this may go on.
process.on('disconnect', () => process.kill(-process.pid, 'SIGKILL'))

// Meant for what the step has started; a function has its signal, and until the SIGKILL that follows to heed it.
process.on('SIGTERM', () => {})

process.on('message', (message: ToStep) => {
  if (message.type === 'abort') return abort.abort(new Error(message.why))
  // What waits for nothing any more is to end, and not to be kept by this channel.
  process.channel?.unref()
  const { task } = message
  const work =
    task.command === null
      ? runFunction(task, abort.signal, (line) => void say({ type: 'log', message: line }))
      : runCommand(task.command)
  work
    .catch(
      (error: unknown): StepEnd => ({
        outcome: 'failed',
        why: tell(error),
        failure: { reason: 'failed' },
        locked: false,
      }),
    )
    .then(async (end) => {
      process.off('beforeExit', unsettled)
      await say({ type: 'ended', end })
      process.removeAllListeners('disconnect')
      // What the function has left open must not keep the release.
      process.exit(0)
    })
})

function unsettled(): void {
  const why = 'its process had nothing left to wait for, and the function had not settled'
  void say({ type: 'ended', end: { outcome: 'failed', why, failure: { reason: 'unsettled' }, locked: false } }).then(
    () => process.exit(0),
  )
}

process.on('beforeExit', unsettled)

function tell(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
