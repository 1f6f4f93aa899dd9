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
const START_LIMIT = 180_000
const STOP_LIMIT = 120_000
const CALL_LIMIT = 30_000
const QUIET_FOR = 1_000
const QUIET_LIMIT = 120_000
const OUTPUT_KEPT = 20_000

/** The reference app as `npm start` runs it: PostgreSQL, two workers under Punctual, and faults to order. */
export class StartedApp {
  readonly url: string
  readonly #admin: string
  readonly #child: ChildProcess
  readonly #directory: string
  #output = ''
  readonly #exited: Promise<void>

  /**
   * @param poolMax connections of each pool of each worker
   * @param redisUrl what its workers share; default: nothing
   * @throws Error when it does not come up within three minutes; with what it printed
   */
  static async start(poolMax: number, redisUrl: string | null = null): Promise<StartedApp> {
    const directory = mkdtempSync(join(tmpdir(), 'punctual-bench-auth-'))
    // As root, PostgreSQL runs as the user `postgres`, who must be able to pass through.
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
    // A database, or faults, that somebody has in his environment are not what is measured.
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

  /** Replaces the faults in force. */
  async order(faults: Faults): Promise<FaultStatus> {
    return this.#faults({
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(faults),
    })
  }

  /** How many queries have gone from the app to its database. */
  async queries(): Promise<number> {
    const { queries } = await this.#faults({})
    if (queries === null) throw new Error('the queries of the app cannot be counted')
    return queries
  }

  /** Until what was left to be done after the answers is done. */
  async quiet(): Promise<void> {
    let [seen, since] = [-1, 0]
    for (const end = performance.now() + QUIET_LIMIT; performance.now() < end; await sleep(100)) {
      const queries = await this.queries()
      if (queries !== seen) [seen, since] = [queries, performance.now()]
      else if (performance.now() - since > QUIET_FOR) return
    }
    throw new Error('queries go on and on')
  }

  /** Runs another `punctual` command against it. */
  async command(...args: readonly string[]): Promise<void> {
    await execute(process.execPath, [BIN, ...args], {
      env: { ...process.env, PUNCTUAL_STATE_DIR: this.#directory },
      timeout: CALL_LIMIT,
    })
  }

  /** How the caches of users of all workers have answered so far; reported once a second, so wait until there are `least`. */
  async answers(least = 0): Promise<{ readonly hits: number; readonly all: number }> {
    for (const end = performance.now() + CALL_LIMIT; performance.now() < end; await sleep(100)) {
      const answer = await fetch(`${this.#admin}/status`, { signal: AbortSignal.timeout(CALL_LIMIT) })
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
    throw new Error(`the caches did not report ${least} answers`)
  }

  async stop(): Promise<void> {
    this.#end()
    await Promise.race([this.#exited, sleep(STOP_LIMIT, undefined, { ref: false })])
    process.off('exit', this.#end)
    // What it started ends by itself when it is gone.
    this.#child.kill('SIGKILL')
    await this.#exited
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 })
  }

  readonly #end = (): void => {
    this.#child.kill('SIGTERM')
  }

  async #faults(request: RequestInit): Promise<FaultStatus> {
    const answer = await fetch(`${this.url}/try/faults`, { ...request, signal: AbortSignal.timeout(CALL_LIMIT) })
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`/try/faults answered ${answer.status} ${text}`)
    return JSON.parse(text) as FaultStatus
  }

  /** `npm start` says how to stop it when all workers are ready. */
  async #untilReady(): Promise<void> {
    for (const end = performance.now() + START_LIMIT; performance.now() < end; await sleep(100)) {
      if (/^stop /m.test(this.#output)) return
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error('it has ended')
    }
    throw new Error(`it was not ready after ${START_LIMIT / 1_000} s`)
  }
}
