import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processTree } from './machine.ts'

/** Milliseconds from the start of a server until both workers respond. */
const START_TIMEOUT = 60_000
const STOP_TIMEOUT = 15_000
export const WORKERS = 2

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** An app that runs under one of the compared servers. */
export class ServedApp {
  readonly url: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #logFile: string
  #workers: readonly number[] = []

  /**
   * Starts the server, logs its output to `directory`, and waits until both workers respond.
   *
   * @throws Error with the output of the server if it does not start within a minute
   */
  static async start(name: string, command: Command, port: number, directory: string): Promise<ServedApp> {
    const app = new ServedApp(command, port, join(directory, `${name}.log`))
    try {
      app.#workers = await app.#findWorkers()
      return app
    } catch (error) {
      const log = readFileSync(app.#logFile, 'utf8')
      await app.stop()
      throw new Error(`${name} did not start: ${error instanceof Error ? error.message : error}\n${log}`)
    }
  }

  private constructor({ program, args, cwd, env }: Command, port: number, logFile: string) {
    this.url = `http://127.0.0.1:${port}/`
    this.#logFile = logFile
    const log = openSync(logFile, 'a')
    this.#child = spawn(program, args, {
      cwd,
      // Without the variables of npm and of this process, which a server may read.
      env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', PORT: String(port), ...env },
      stdio: ['ignore', log, log],
      // Its own process group, so that all of its processes can be killed.
      detached: true,
    })
    closeSync(log)
    this.#exited = once(this.#child, 'exit').catch((error: Error) => error)
    process.on('exit', this.#killGroup)
  }

  /** Pids of the workers; a single pid if both are threads of one process. */
  get workers(): readonly number[] {
    return this.#workers
  }

  /** Pids of all processes of the server. */
  get processes(): readonly number[] {
    return processTree(this.#child.pid as number)
  }

  /** @throws Error unless the response is that of the app */
  async check(): Promise<void> {
    const { status, body } = await get(this.url)
    if (status !== 200 || body !== '{"hello":"world"}') throw new Error(`${this.url} returned ${status} ${body}`)
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await Promise.race([this.#exited, sleep(STOP_TIMEOUT, undefined, { ref: false })])
    this.#killGroup()
    process.off('exit', this.#killGroup)
    await this.#exited
  }

  readonly #killGroup = (): void => {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // ESRCH: the group is empty.
    }
  }

  async #findWorkers(): Promise<readonly number[]> {
    const seen = new Set<string>()
    for (const end = performance.now() + START_TIMEOUT; performance.now() < end; await sleep(100)) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error('the server exited')
      // Concurrent requests, because one worker could take all of a sequence.
      const answers = await Promise.allSettled(Array.from({ length: 32 }, () => get(`${this.url}who`)))
      for (const answer of answers) {
        if (answer.status === 'fulfilled' && answer.value.status === 200) seen.add(answer.value.body)
      }
      if (seen.size === WORKERS) return [...new Set([...seen].map((who) => Number(who.split(':')[0])))]
      if (seen.size > WORKERS) throw new Error(`more than ${WORKERS} workers responded: ${[...seen].join(' ')}`)
    }
    throw new Error(`${seen.size} of ${WORKERS} workers responded within ${START_TIMEOUT / 1_000} s`)
  }
}

function get(url: string): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, timeout: 5_000 }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('no response within 5 s')))
    request.on('error', reject)
  })
}

/** Returns a free port. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
