import { spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

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

/** Returns wrk if it is installed, because it uses the least CPU; otherwise autocannon. */
export function findGenerator(directory: string): Generator {
  const probe = spawnSync('wrk', ['-v'], { encoding: 'utf8', timeout: 10_000 })
  const version = /wrk (\S+)/.exec(`${probe.stdout}${probe.stderr}`)?.[1]
  return probe.error === undefined && version !== undefined ? wrk(version, directory) : autocannon()
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
      const { requests, microseconds, p99, faults } = JSON.parse(found) as Record<string, number>
      if (requests === undefined || microseconds === undefined || p99 === undefined)
        throw new Error(`wrk printed an incomplete result: ${found}`)
      if (faults !== 0) throw new Error(`${faults} of ${requests} requests failed at ${url} (${mode}):\n${output}`)
      return { requests, requestsPerSecond: requests / (microseconds / 1e6), p99Ms: p99 / 1_000 }
    },
  }
}

interface AutocannonResult {
  readonly requests: { readonly total: number }
  readonly duration: number
  readonly latency: { readonly p99: number }
  readonly errors: number
  readonly timeouts: number
  readonly non2xx: number
}

function autocannon(): Generator {
  const program = join(import.meta.dirname, '../node_modules/autocannon/autocannon.js')
  return {
    name: 'autocannon',
    async run(url, mode, seconds) {
      const close = mode === 'close' ? ['--reconnectRate', '1', '-H', 'connection=close'] : []
      const args = [program, '--json', '-c', String(CONNECTIONS), '-d', String(seconds), ...close, url]
      const result = JSON.parse(await outputOf(process.execPath, args, seconds)) as AutocannonResult
      const faults = result.errors + result.timeouts + result.non2xx
      const { total } = result.requests
      if (faults !== 0) throw new Error(`${faults} of ${total} requests failed at ${url} (${mode})`)
      return { requests: total, requestsPerSecond: total / result.duration, p99Ms: result.latency.p99 }
    },
  }
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
