import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../http/served-app.ts'

const ROOT = join(import.meta.dirname, '../..')
const READY_LIMIT = 60_000
const STOP_LIMIT = 60_000
const CALL_LIMIT = 30_000
const LOOK_EVERY = 5
/** Workers report once a second. */
const STATUS_EVERY = 200

/** What `/status` says that is of interest here. */
interface StatusLike {
  readonly workers: readonly {
    readonly bootMs: number | null
    readonly modules?: { readonly routes?: { readonly allSettledInMs: number | null; readonly loaded: number } }
  }[]
}

/** A form of the campaign dashboard under `punctual run`, with one worker, measured from the start of the process. */
export class BootedApp {
  readonly #child: ChildProcess
  readonly #directory: string
  readonly #port: number
  readonly #adminPort: number
  readonly #startedAt = performance.now()
  readonly #exited: Promise<number | null>
  #output = ''

  static async start(form: 'before' | 'after', flags: readonly string[] = []): Promise<BootedApp> {
    return new BootedApp(form, flags, await freePort(), await freePort())
  }

  private constructor(form: string, flags: readonly string[], port: number, adminPort: number) {
    this.#port = port
    this.#adminPort = adminPort
    this.#directory = mkdtempSync(join(tmpdir(), 'punctual-bench-boot-'))
    const entry = join(ROOT, `test/reference-app/campaigns/${form}.ts`)
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PUNCTUAL_')))
    this.#child = spawn(
      process.execPath,
      [
        join(ROOT, 'bin/punctual.js'),
        ...['run', entry, '--workers', '1', '--host', '127.0.0.1', '--port', String(port)],
        ...['--admin-port', String(adminPort), '--state-dir', this.#directory, ...flags],
      ],
      { env: { ...env, LOG_LEVEL: 'silent' }, stdio: ['ignore', 'pipe', 'pipe'] },
    )
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-20_000)
      })
    }
    this.#exited = new Promise((resolve) => this.#child.once('exit', resolve))
    process.on('exit', this.#end)
  }

  get output(): string {
    return this.#output
  }

  /** Milliseconds since the process was started. */
  get age(): number {
    return performance.now() - this.#startedAt
  }

  /** Asks `/readyz` until it says so; milliseconds since the start. */
  async ready(): Promise<number> {
    return this.#until(
      'ready',
      async () => (await this.#call(this.#adminPort, '/readyz').catch(() => null))?.status === 200,
    )
  }

  /** Until all deferred modules are loaded; milliseconds since the worker began with them, as it says itself. */
  async settled(): Promise<number> {
    let took: number | null = null
    await this.#until('loaded', async () => {
      await sleep(STATUS_EVERY)
      const { body } = await this.#call(this.#adminPort, '/status')
      const [worker] = (JSON.parse(body) as StatusLike).workers
      took = worker?.modules?.routes?.allSettledInMs ?? null
      return took !== null
    })
    return took ?? Number.NaN
  }

  /** Milliseconds that a request takes, connection included. */
  async request(path: string): Promise<number> {
    const before = performance.now()
    const { status } = await this.#call(this.#port, path)
    if (status !== 200) throw new Error(`${path} answered ${status}\n${this.#output}`)
    return performance.now() - before
  }

  /** Waits until it has ended by itself; its exit code, null where a signal ended it. */
  async exit(limit: number): Promise<number | null> {
    const waiting = new AbortController()
    const tooLong = sleep(limit, undefined, { signal: waiting.signal }).then(() => {
      throw new Error(`it has not ended within ${limit / 1_000} s:\n${this.#output}`)
    })
    try {
      return await Promise.race([this.#exited, tooLong])
    } finally {
      waiting.abort()
    }
  }

  async stop(): Promise<void> {
    this.#end()
    await this.exit(STOP_LIMIT).catch(() => {})
    process.off('exit', this.#end)
    this.#child.kill('SIGKILL')
    await this.#exited
    rmSync(this.#directory, { recursive: true, force: true })
  }

  readonly #end = (): void => {
    this.#child.kill('SIGTERM')
  }

  async #until(what: string, look: () => Promise<boolean>): Promise<number> {
    while (this.age < READY_LIMIT) {
      if (this.#child.exitCode !== null) throw new Error(`it has ended before it was ${what}:\n${this.#output}`)
      if (await look()) return this.age
      await sleep(LOOK_EVERY)
    }
    throw new Error(`it was not ${what} within ${READY_LIMIT / 1_000} s:\n${this.#output}`)
  }

  #call(port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path, agent: false, timeout: CALL_LIMIT }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', reject)
      })
      request.on('timeout', () => request.destroy(new Error(`${path} was not answered in time`)))
      request.on('error', reject)
    })
  }
}
