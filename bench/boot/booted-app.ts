import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../http/served-app.ts'

const ROOT = join(import.meta.dirname, '../..')
const READY_TIMEOUT = 60_000
const STOP_TIMEOUT = 60_000
const CALL_TIMEOUT = 30_000
const POLL_INTERVAL = 5
/** Milliseconds; workers report once a second. */
const STATUS_INTERVAL = 200

/** The part of `/status` that is used. */
interface StatusLike {
  readonly workers: readonly {
    readonly bootMs: number | null
    readonly modules?: { readonly routes?: { readonly allSettledInMs: number | null; readonly loaded: number } }
  }[]
}

/** The campaign dashboard under `punctual run` with one worker. */
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

  /** Milliseconds since the start of the process. */
  get age(): number {
    return performance.now() - this.#startedAt
  }

  /** Polls `/readyz` until it reports ready; returns milliseconds since the start. */
  async ready(): Promise<number> {
    return this.#until(
      'ready',
      async () => (await this.#call(this.#adminPort, '/readyz').catch(() => null))?.status === 200,
    )
  }

  /**
   * Waits until all deferred modules are loaded; returns the duration of the loading, as the worker
   * reports it.
   */
  async settled(): Promise<number> {
    let took: number | null = null
    await this.#until('loaded', async () => {
      await sleep(STATUS_INTERVAL)
      const { body } = await this.#call(this.#adminPort, '/status')
      const [worker] = (JSON.parse(body) as StatusLike).workers
      took = worker?.modules?.routes?.allSettledInMs ?? null
      return took !== null
    })
    return took ?? Number.NaN
  }

  /** Returns the duration of a request in milliseconds, including the connect. */
  async request(path: string): Promise<number> {
    const before = performance.now()
    const { status } = await this.#call(this.#port, path)
    if (status !== 200) throw new Error(`${path} returned ${status}\n${this.#output}`)
    return performance.now() - before
  }

  /** Waits until the process exits; returns its exit code, or null if a signal killed it. */
  async exit(timeout: number): Promise<number | null> {
    const waiting = new AbortController()
    const tooLong = sleep(timeout, undefined, { signal: waiting.signal }).then(() => {
      throw new Error(`the app did not exit within ${timeout / 1_000} s:\n${this.#output}`)
    })
    try {
      return await Promise.race([this.#exited, tooLong])
    } finally {
      waiting.abort()
    }
  }

  async stop(): Promise<void> {
    this.#end()
    await this.exit(STOP_TIMEOUT).catch(() => {})
    process.off('exit', this.#end)
    this.#child.kill('SIGKILL')
    await this.#exited
    rmSync(this.#directory, { recursive: true, force: true })
  }

  readonly #end = (): void => {
    this.#child.kill('SIGTERM')
  }

  async #until(what: string, check: () => Promise<boolean>): Promise<number> {
    while (this.age < READY_TIMEOUT) {
      if (this.#child.exitCode !== null) throw new Error(`the app exited before it was ${what}:\n${this.#output}`)
      if (await check()) return this.age
      await sleep(POLL_INTERVAL)
    }
    throw new Error(`the app was not ${what} within ${READY_TIMEOUT / 1_000} s:\n${this.#output}`)
  }

  #call(port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path, agent: false, timeout: CALL_TIMEOUT }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', reject)
      })
      request.on('timeout', () =>
        request.destroy(new Error(`${path} did not respond within ${CALL_TIMEOUT / 1_000} s`)),
      )
      request.on('error', reject)
    })
  }
}
