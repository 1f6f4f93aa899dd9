import { subscribe } from 'node:diagnostics_channel'
import { basename } from 'node:path'

/** Published by Node when an object for a child process is created, before it is started. */
const CHANNEL = 'child_process'
const MAX_LENGTH = 80

interface Created {
  readonly process: { readonly spawnfile?: string; readonly spawnargs?: readonly string[] }
}

/** Calls back with the command line of every child process that is started asynchronously. */
export function observeChildProcesses(onStarted: (command: string) => void): void {
  subscribe(CHANNEL, (message) => {
    const { process: child } = message as Created
    process.nextTick(() => {
      const { spawnfile, spawnargs } = child
      if (spawnfile === undefined || spawnargs === undefined) return
      const command = [basename(spawnfile), ...spawnargs.slice(1)].join(' ')
      onStarted(command.length > MAX_LENGTH ? `${command.slice(0, MAX_LENGTH)}…` : command)
    })
  })
}
