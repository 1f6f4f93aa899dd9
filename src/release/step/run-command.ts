import { spawn } from 'node:child_process'
import type { StepEnd } from '../messages.ts'

/** Runs a command in the shell, in this process' group and with its environment and output. */
export function runCommand(command: string): Promise<StepEnd> {
  return new Promise((resolve) => {
    const child = spawn(command, { shell: true, stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', (error) =>
      resolve({ outcome: 'failed', why: error.message, failure: { reason: 'failed' }, locked: false }),
    )
    child.on('exit', (code, signal) => {
      if (code === 0) resolve({ outcome: 'done' })
      else {
        const why = signal === null ? `exit code ${code}` : `ended by ${signal}`
        resolve({ outcome: 'failed', why, failure: { reason: 'failed', exitCode: code, signal }, locked: false })
      }
    })
  })
}
