import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processTree } from './machine.ts'

/** From the start of a server until both its workers answer. */
const START_LIMIT = 60_000
const STOP_LIMIT = 15_000
export const WORKERS = 2

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** An app that runs under one of the servers compared. */
export class ServedApp {
  readonly url: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #logFile: string
  #workers: readonly number[] = []

  /**
   * Starts it, with its output in a file of `directory`, and waits until both workers have answered.
   *
   * @throws Error when it does not come up within a minute; with what it printed
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
      // Nothing of ours or of npm's: a server may well read its environment.
      env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', PORT: String(port), ...env },
      stdio: ['ignore', log, log],
      // A process group of its own, so that nothing of it can be left behind.
      detached: true,
    })
    closeSync(log)
    this.#exited = once(this.#child, 'exit').catch((error: Error) => error)
    process.on('exit', this.#killGroup)
  }

  /** Pids of its workers; one for both where they are threads of one process. */
  get workers(): readonly number[] {
    return this.#workers
  }

  /** Pids of everything it consists of. */
  get processes(): readonly number[] {
    return processTree(this.#child.pid as number)
  }

  /** @throws Error unless it answers as the app does */
  async check(): Promise<void> {
    const { status, body } = await get(this.url)
    if (status !== 200 || body !== '{"hello":"world"}') throw new Error(`${this.url} answered ${status} ${body}`)
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await Promise.race([this.#exited, sleep(STOP_LIMIT, undefined, { ref: false })])
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
    for (const end = performance.now() + START_LIMIT; performance.now() < end; await sleep(100)) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error('it has ended')
      // Many at once: one worker alone would take them all if they came one by one.
      const answers = await Promise.allSettled(Array.from({ length: 32 }, () => get(`${this.url}who`)))
      for (const answer of answers) {
        if (answer.status === 'fulfilled' && answer.value.status === 200) seen.add(answer.value.body)
      }
      if (seen.size === WORKERS) return [...new Set([...seen].map((who) => Number(who.split(':')[0])))]
      if (seen.size > WORKERS) throw new Error(`more than ${WORKERS} workers answered: ${[...seen].join(' ')}`)
    }
    throw new Error(`after ${START_LIMIT / 1_000} s ${seen.size} of ${WORKERS} workers had answered`)
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
    request.on('timeout', () => request.destroy(new Error('no answer within 5 s')))
    request.on('error', reject)
  })
}

/** A port that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
