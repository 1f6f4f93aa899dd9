import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClientsResult } from './client-loop.ts'

export type Mode = 'keep-alive' | 'close'
export const MODES: readonly Mode[] = ['keep-alive', 'close']

/** Result of one run of the load generator. */
export interface Load {
  readonly requestsPerSecond: number
  readonly requests: number
  readonly p99Ms: number
}

/** Number of clients; each sends its next request as soon as it has a response. */
export const CONNECTIONS = 64

/**
 * wrk calls `done` once, after the run; a script without other functions adds no cost per request.
 */
const WRK_SCRIPT = `done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests":%d,"microseconds":%d,"p99":%d,"faults":%d}\\n', summary.requests, summary.duration,
    latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
`

/** A load generator; `run` fails unless every response is a success. */
export interface Generator {
  readonly name: string
  run(url: string, mode: Mode, seconds: number): Promise<Load>
}

/** Returns wrk if it is installed, because it uses the least CPU. */
export function findGenerator(directory: string): Generator {
  const probe = spawnSync('wrk', ['-v'], { encoding: 'utf8', timeout: 10_000 })
  const version = /wrk (\S+)/.exec(`${probe.stdout}${probe.stderr}`)?.[1]
  return probe.error === undefined && version !== undefined ? wrk(version, directory) : nodeClients
}

function wrk(version: string, directory: string): Generator {
  const script = join(directory, 'result.lua')
  writeFileSync(script, WRK_SCRIPT)
  return {
    name: `wrk ${version.replace(/^debian\//, '')}`,
    async run(url, mode, seconds) {
      const args = [
        '-t1',
        `-c${CONNECTIONS}`,
        `-d${seconds}s`,
        '--timeout',
        '10s',
        '-s',
        script,
        '-H',
        `Connection: ${mode}`,
      ]
      const output = await outputOf('wrk', [...args, url], seconds)
      const found = /^RESULT (.*)$/m.exec(output)?.[1]
      if (found === undefined) throw new Error(`wrk printed no result:\n${output}`)
      return loadOf(JSON.parse(found) as ClientsResult, url, mode)
    },
  }
}

/** Clients in a Node process, which use more CPU than wrk. */
const nodeClients: Generator = {
  name: 'clients in Node.js',
  async run(url, mode, seconds) {
    const args = [join(import.meta.dirname, 'client-loop.ts'), url, mode, String(CONNECTIONS), String(seconds)]
    return loadOf(JSON.parse(await outputOf(process.execPath, args, seconds)) as ClientsResult, url, mode)
  },
}

/** @throws Error if a request failed, or if there was no response at all */
function loadOf({ requests, microseconds, p99, faults }: ClientsResult, url: string, mode: Mode): Load {
  if (faults !== 0) throw new Error(`${faults} of ${requests} requests failed at ${url} (${mode})`)
  if (requests === 0) throw new Error(`no response from ${url} (${mode})`)
  return { requests, requestsPerSecond: requests / (microseconds / 1e6), p99Ms: p99 / 1_000 }
}

function outputOf(command: string, args: readonly string[], seconds: number): Promise<string> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: seconds * 1_000 + 30_000,
    killSignal: 'SIGKILL',
  })
  let output = ''
  let faults = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    faults += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output)
      else reject(new Error(`${command} exited with ${signal ?? code}:\n${output}${faults}`))
    })
  })
}
