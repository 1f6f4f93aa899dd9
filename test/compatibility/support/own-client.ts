import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { environment } from '../../process/support/server.ts'
import { WAIT_LIMIT, within } from '../../process/support/until.ts'

/** Time for the client of an app to do its work once, in milliseconds. */
const CHECK_LIMIT = 60_000

/**
 * Runs `client.mjs` of an app: it uses the app through the app's own client library, and exits with
 * an error if something is wrong.
 */
export async function checkByOwnClient(directory: string, url: string, env: Record<string, string>): Promise<void> {
  if (!existsSync(join(directory, 'client.mjs'))) return
  const { exit } = runClient(directory, [url], env)
  const { code, output } = await within('client.mjs to end', exit, CHECK_LIMIT)
  if (code !== 0) throw new Error(`client.mjs failed:\n${output.slice(0, 1_500)}`)
}

/** `client.mjs <url> load` uses the app until SIGTERM, then prints `{ total, failed: […] }`. */
export function loadByOwnClient(directory: string, url: string, env: Record<string, string>) {
  const { exit, child } = runClient(directory, [url, 'load'], env)
  return {
    stop: async (): Promise<{ total: number; failed: readonly string[] }> => {
      child.kill('SIGTERM')
      const { output } = await within('client.mjs to end', exit, WAIT_LIMIT)
      const last = output.trimEnd().split('\n').at(-1) ?? ''
      try {
        return JSON.parse(last)
      } catch {
        return { total: 0, failed: [output.slice(0, 1_500)] }
      }
    },
  }
}

function runClient(directory: string, args: readonly string[], env: Record<string, string>) {
  const child: ChildProcess = spawn(process.execPath, ['client.mjs', ...args], {
    cwd: directory,
    env: { ...environment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: CHECK_LIMIT,
    killSignal: 'SIGKILL',
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  const exit = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, output }))
  })
  return { child, exit }
}
