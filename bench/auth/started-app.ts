import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { CacheModuleReport } from '../../src/cache/cache-report.ts'
import type { Status } from '../../src/diagnostics/status.ts'
import type { FaultStatus, Faults } from '../../test/reference-app/outside/faults.ts'
import { freePort } from '../http/served-app.ts'

const BIN = join(import.meta.dirname, '../../bin/punctual.js')
const START = join(import.meta.dirname, '../../test/reference-app/start.ts')
const execute = promisify(execFile)
/** Includes `initdb`. */
const START_TIMEOUT = 180_000
const STOP_TIMEOUT = 120_000
const CALL_TIMEOUT = 30_000
const QUIET_FOR = 1_000
const QUIET_TIMEOUT = 120_000
const OUTPUT_KEPT = 20_000

/** The reference app as `npm start` runs it, with PostgreSQL, two workers and fault injection. */
export class StartedApp {
  readonly url: string
  readonly #admin: string
  readonly #child: ChildProcess
  readonly #directory: string
  #output = ''
  readonly #exited: Promise<void>

  /**
   * @param poolMax connections per pool and worker
   * @param redisUrl Redis that the workers share; default: none
   * @throws Error with the output of the app if it does not start within three minutes
   */
  static async start(poolMax: number, redisUrl: string | null = null): Promise<StartedApp> {
    const directory = mkdtempSync(join(tmpdir(), 'punctual-bench-auth-'))
    // Run by root, PostgreSQL runs as user `postgres`, who needs access to the directory.
    chmodSync(directory, 0o755)
    const app = new StartedApp(directory, poolMax, redisUrl, await freePort(), await freePort())
    try {
      await app.#untilReady()
      return app
    } catch (error) {
      await app.stop()
      throw new Error(`the app did not start: ${error instanceof Error ? error.message : error}\n${app.#output}`)
    }
  }

  private constructor(directory: string, poolMax: number, redisUrl: string | null, port: number, adminPort: number) {
    this.url = `http://127.0.0.1:${port}`
    this.#admin = `http://127.0.0.1:${adminPort}`
    this.#directory = directory
    // Ignores a database, faults and settings in the environment of the caller.
    const { DATABASE_URL: _, npm_lifecycle_event: __, ...rest } = process.env
    const env = Object.fromEntries(Object.entries(rest).filter(([name]) => !/^(FAULT_|PUNCTUAL_)/.test(name)))
    const flags = ['--state-dir', directory, '--port', String(port), '--admin-port', String(adminPort)]
    this.#child = spawn(process.execPath, [START, ...flags, '--workers', '2', '--host', '127.0.0.1'], {
      env: { ...env, DATABASE_POOL_MAX: String(poolMax), REDIS_URL: redisUrl ?? '', LOG_LEVEL: 'silent' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-OUTPUT_KEPT)
      })
    }
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', () => resolve())
      this.#child.once('exit', () => resolve())
    })
    process.on('exit', this.#end)
  }

  /** Replaces the injected faults. */
  async order(faults: Faults): Promise<FaultStatus> {
    return this.#faults({
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(faults),
    })
  }

  /** Returns the number of queries from the app to its database. */
  async queries(): Promise<number> {
    const { queries } = await this.#faults({})
    if (queries === null) throw new Error('the queries of the app cannot be counted')
    return queries
  }

  /** Waits until the app sends no more queries. */
  async quiet(): Promise<void> {
    let [seen, since] = [-1, 0]
    for (const end = performance.now() + QUIET_TIMEOUT; performance.now() < end; await sleep(100)) {
      const queries = await this.queries()
      if (queries !== seen) [seen, since] = [queries, performance.now()]
      else if (performance.now() - since > QUIET_FOR) return
    }
    throw new Error(`the app still sends queries after ${QUIET_TIMEOUT / 1_000} s`)
  }

  /** Runs a `punctual` command against the app. */
  async command(...args: readonly string[]): Promise<void> {
    await execute(process.execPath, [BIN, ...args], {
      env: { ...process.env, PUNCTUAL_STATE_DIR: this.#directory },
      timeout: CALL_TIMEOUT,
    })
  }

  /**
   * Returns the lookups in the user caches of all workers. Waits for `least`, because they are
   * reported once a second.
   */
  async answers(least = 0): Promise<{ readonly hits: number; readonly all: number }> {
    for (const end = performance.now() + CALL_TIMEOUT; performance.now() < end; await sleep(100)) {
      const answer = await fetch(`${this.#admin}/status`, { signal: AbortSignal.timeout(CALL_TIMEOUT) })
      const { workers } = (await answer.json()) as Status
      const caches = workers.flatMap(({ modules }) => (modules.cache as CacheModuleReport | undefined)?.caches ?? [])
      let [hits, all] = [0, 0]
      for (const { name, counts } of caches) {
        if (name !== 'auth:privy_id') continue
        const found = counts.hitsMemory + counts.hitsRedis + counts.stale + counts.degraded
        hits += found
        all += found + counts.misses + counts.backedOff
      }
      if (all >= least) return { hits, all }
    }
    throw new Error(`the caches did not report ${least} lookups`)
  }

  async stop(): Promise<void> {
    this.#end()
    await Promise.race([this.#exited, sleep(STOP_TIMEOUT, undefined, { ref: false })])
    process.off('exit', this.#end)
    // Its children exit by themselves when it is gone.
    this.#child.kill('SIGKILL')
    await this.#exited
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 })
  }

  readonly #end = (): void => {
    this.#child.kill('SIGTERM')
  }

  async #faults(request: RequestInit): Promise<FaultStatus> {
    const answer = await fetch(`${this.url}/try/faults`, { ...request, signal: AbortSignal.timeout(CALL_TIMEOUT) })
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`/try/faults returned ${answer.status} ${text}`)
    return JSON.parse(text) as FaultStatus
  }

  /** `npm start` prints how to stop it when all workers are ready. */
  async #untilReady(): Promise<void> {
    for (const end = performance.now() + START_TIMEOUT; performance.now() < end; await sleep(100)) {
      if (/^stop /m.test(this.#output)) return
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error('the app exited')
    }
    throw new Error(`the app was not ready within ${START_TIMEOUT / 1_000} s`)
  }
}
