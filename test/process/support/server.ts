import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type LeftProcess, processesWith } from '../../../scripts/left-behind.ts'
import type { Incident, IncidentSummary } from '../../../src/diagnostics/incident.ts'
import type { Status, WorkerStatus } from '../../../src/diagnostics/status.ts'
import { type AppDirectory, createAppDirectory } from './app-directory.ts'
import { request } from './client.ts'
import { freePort } from './free-port.ts'
import { type LogLine, LogLines, type WantedLine } from './log-lines.ts'
import { until, WAIT_LIMIT, within } from './until.ts'

const ROOT = join(import.meta.dirname, '../../..')
const BIN = join(ROOT, 'bin/punctual.js')
/** After this time, processes of a stopped server count as left behind. In milliseconds. */
const GONE_LIMIT = 10_000

export interface ServerOptions {
  /** Files of the app by name, written to a new directory where the server runs. */
  readonly files?: Readonly<Record<string, string>>
  /** Where it runs, if not in the new directory: an installed app. */
  readonly cwd?: string
  /** The entry: one of these files, or an absolute path. Default: the first of the files. */
  readonly entry?: string
  /**
   * Called with the directory after the files are written: to compile them, to create a
   * certificate.
   */
  readonly prepare?: (directory: string) => void | Promise<void>
  /** Settings by name, written as in a flag: `{ workers: 2, stallInterruptAfter: '1s' }`. */
  readonly settings?: Readonly<Record<string, string | number>>
  /** More arguments after the entry. */
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The Node binary for arbiter and workers. Default: the one that runs this test. */
  readonly node?: string
  /** Flags of that Node. */
  readonly nodeFlags?: readonly string[]
  /** Inherited from number 3 on, as systemd passes sockets. */
  readonly descriptors?: readonly number[]
  /** Whether to wait until the server is ready. Default: true. */
  readonly ready?: boolean
  /** How long to wait for it, in milliseconds. */
  readonly readyLimit?: number
  /** Default: a free one. */
  readonly port?: number
}

/** How the arbiter exited. */
export interface ServerExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * A running `punctual run` with an app. Disposing stops it, and fails if it leaves processes
 * behind.
 */
export interface TestServer extends AsyncDisposable {
  /** Of the app: `http://127.0.0.1:<port>`. */
  readonly url: string
  readonly port: number
  /** Of the admin server; throws before the arbiter has logged it. */
  readonly admin: string
  readonly directory: AppDirectory
  readonly stateDirectory: string
  /** Of the arbiter. */
  readonly pid: number
  readonly exit: Promise<ServerExit>
  /** The lines that the arbiter and the app have printed so far. */
  readonly lines: readonly LogLine[]
  readonly output: string
  status(): Promise<Status>
  /** Waits for a log line; earlier ones count too. */
  log(wanted: WantedLine, limit?: number): Promise<LogLine>
  /** Waits for a condition on `/status`; returns that status. */
  until(what: string, condition: (status: Status) => boolean, limit?: number): Promise<Status>
  /** All incidents with all fields, oldest first. */
  incidents(): Promise<Incident[]>
  /** Waits for an incident. */
  incident(what: string, condition: (incident: Incident) => boolean, limit?: number): Promise<Incident>
  /** The worker with this id, or the only ready one. */
  worker(id?: number): Promise<WorkerStatus>
  signal(signal: NodeJS.Signals): void
  /** Runs another `punctual` command against this server until it exits. */
  command(...args: readonly string[]): Promise<CommandResult>
  /** Pids of all processes of this server, including the arbiter. */
  processes(): readonly number[]
  /** The same with their command lines. */
  children(): readonly LeftProcess[]
  /** Sends SIGTERM; resolves when the arbiter has exited. Fails if it leaves processes behind. */
  stop(limit?: number): Promise<ServerExit>
}

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Starts `punctual run` in a new directory, with free ports. */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  const directory = createAppDirectory(options.files ?? {})
  await options.prepare?.(directory.path)
  const port = options.port ?? (await freePort())
  const marker = `PUNCTUAL__TEST_SERVER=${randomUUID()}`
  const server = new RunningServer(options, directory, port, marker)
  if (options.ready !== false) {
    try {
      const isReady = ({ ready, workers, wanted }: Status): boolean =>
        ready && workers.filter(({ state }) => state === 'ready').length >= wanted
      await server.until('the server to be ready', isReady, options.readyLimit)
    } catch (error) {
      const { output } = server
      await server[Symbol.asyncDispose]().catch(() => {})
      throw new Error(`the server did not become ready; its output:\n${output}`, { cause: error })
    }
  }
  return server
}

class RunningServer implements TestServer {
  readonly directory: AppDirectory
  readonly port: number
  readonly stateDirectory: string
  readonly exit: Promise<ServerExit>
  readonly #log = new LogLines()
  readonly #child: ChildProcess
  readonly #marker: string
  readonly #node: string
  #exited = false

  constructor(options: ServerOptions, directory: AppDirectory, port: number, marker: string) {
    this.directory = directory
    this.port = port
    this.stateDirectory = join(directory.path, 'state')
    this.#marker = marker
    this.#node = options.node ?? process.execPath
    const entry = options.entry ?? Object.keys(options.files ?? {})[0] ?? ''
    const settings = {
      host: '127.0.0.1',
      port,
      adminPort: 0,
      stateDir: this.stateDirectory,
      logFormat: 'json',
      ...options.settings,
    }
    const args = [...(options.nodeFlags ?? []), BIN, 'run', entry, ...flagsOf(settings), ...(options.flags ?? [])]
    this.#child = spawn(this.#node, args, {
      cwd: options.cwd ?? directory.path,
      env: { ...environment(), ...options.env, ...markerVariable(marker) },
      stdio: ['ignore', 'pipe', 'pipe', ...(options.descriptors ?? [])],
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) if (stream !== null) this.#log.collect(stream)
    this.exit = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => resolve({ code, signal }))
      this.#child.on('exit', () => {
        this.#exited = true
      })
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get admin(): string {
    const line = this.#log.find(/, admin on http/)
    if (line === undefined) throw new Error(`the admin server is not logged yet; output so far:\n${this.output}`)
    return line.msg.replace(/^.*, admin on /, '')
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get lines(): readonly LogLine[] {
    return this.#log.lines
  }

  get output(): string {
    return this.#log.text
  }

  async status(): Promise<Status> {
    return (await this.#get('/status')) as Status
  }

  log(wanted: WantedLine, limit: number = WAIT_LIMIT): Promise<LogLine> {
    return this.#until(`a log line like ${wanted}`, () => this.#log.find(wanted), limit)
  }

  until(what: string, condition: (status: Status) => boolean, limit: number = WAIT_LIMIT): Promise<Status> {
    return this.#until(
      what,
      async () => {
        const status = await this.status()
        return condition(status) && status
      },
      limit,
    )
  }

  async incidents(): Promise<Incident[]> {
    if (this.#exited) return this.#incidentFiles()
    const summaries = (await this.#get('/incidents')) as readonly IncidentSummary[]
    const whole = await Promise.all(summaries.map(({ id }) => this.#get(`/incidents/${id}`) as Promise<Incident>))
    return whole.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** The incidents of an arbiter that has exited. */
  #incidentFiles(): Incident[] {
    const directory = join(this.stateDirectory, 'incidents')
    if (!existsSync(directory)) return []
    const names = readdirSync(directory).filter((name) => name.endsWith('.json'))
    return names.toSorted().map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Incident)
  }

  incident(what: string, condition: (incident: Incident) => boolean, limit: number = WAIT_LIMIT): Promise<Incident> {
    return this.#until(`an incident: ${what}`, async () => (await this.incidents()).find(condition), limit)
  }

  async worker(id?: number): Promise<WorkerStatus> {
    const { workers } = await this.status()
    const found = workers.filter((worker) => (id === undefined ? worker.state === 'ready' : worker.id === id))
    const [worker] = found
    if (worker === undefined || found.length > 1) throw new Error(`${found.length} workers match, expected one`)
    return worker
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  command(...args: readonly string[]): Promise<CommandResult> {
    const child = spawn(this.#node, [BIN, ...args], {
      cwd: this.directory.path,
      env: { ...environment(), ...markerVariable(this.#marker), PUNCTUAL_STATE_DIR: this.stateDirectory },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const result = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      result.stdout += chunk
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      result.stderr += chunk
    })
    const ended = new Promise<CommandResult>((resolve) => {
      child.on('close', (code) => resolve({ code, ...result }))
    })
    return within(`punctual ${args.join(' ')} to end`, ended, WAIT_LIMIT * 2)
  }

  processes(): readonly number[] {
    return processesWith(this.#marker).map(({ pid }) => pid)
  }

  children(): readonly LeftProcess[] {
    return processesWith(this.#marker)
  }

  async stop(limit: number = WAIT_LIMIT): Promise<ServerExit> {
    this.signal('SIGTERM')
    const exit = await within('the server to stop', this.exit, limit)
    await this.#allGone()
    return exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#exited) {
        // The test may have stopped processes with SIGSTOP. Two signals stop the arbiter at once.
        for (const pid of this.processes()) signalTo(pid, 'SIGCONT')
        this.signal('SIGTERM')
        if (!this.#exited) this.signal('SIGINT')
        await within('the server to stop at a second signal', this.exit)
      }
      await this.#allGone()
    } finally {
      this.#child.kill('SIGKILL')
      for (const pid of this.processes()) signalTo(pid, 'SIGKILL')
      this.directory.remove()
    }
  }

  /** Fails if a process outlives the arbiter. */
  async #allGone(): Promise<void> {
    let left = processesWith(this.#marker)
    try {
      await until(
        'all processes to be gone',
        () => {
          left = processesWith(this.#marker)
          return left.length === 0
        },
        GONE_LIMIT,
      )
    } catch {
      throw new Error(`left behind: ${left.map(({ pid, command }) => `${pid} ${command.slice(0, 120)}`).join('; ')}`)
    }
  }

  /** Waits, but not after the arbiter has exited. */
  async #until<T>(
    what: string,
    look: () => T | Promise<T>,
    limit: number,
  ): Promise<Exclude<Awaited<T>, undefined | false>> {
    const failure = (why: string, cause?: unknown): Error =>
      new Error(`${why}; output:\n${this.output.slice(-8_000)}`, { cause })
    const lookOnce = async (): Promise<{ found?: Awaited<T> } | undefined> => {
      // Read first, so that output in between is still found.
      const left = this.#exited
      const found = await (left ? Promise.resolve(look()).catch(() => undefined) : look())
      if (found !== undefined && found !== false) return { found }
      return left ? {} : undefined
    }
    const { found } = await until(what, lookOnce, limit).catch((error: Error) => {
      throw failure(error.message, error.cause)
    })
    if (found === undefined) throw failure(`waited for ${what}, but the arbiter has exited`)
    return found as Exclude<Awaited<T>, undefined | false>
  }

  async #get(path: string): Promise<unknown> {
    const outcome = await request(`${this.admin}${path}`, { limit: 10_000 })
    if (outcome.kind !== 'answer') throw new Error(`${path} ended as ${outcome.kind}: ${outcome.why}`)
    if (outcome.status !== 200) throw new Error(`${path} answered ${outcome.status}: ${outcome.body}`)
    return JSON.parse(outcome.body)
  }
}

/**
 * The environment of this process, without settings of Punctual and variables of the test runner.
 */
export function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      !['PORT', 'HOST', 'NODE_OPTIONS', 'NODE_TEST_CONTEXT', 'NOTIFY_SOCKET', 'NODE_UNIQUE_ID'].includes(name) &&
      (!name.startsWith('PUNCTUAL_') || name.startsWith('PUNCTUAL__')),
  )
  return Object.fromEntries(kept)
}

function markerVariable(marker: string): Record<string, string> {
  const at = marker.indexOf('=')
  return { [marker.slice(0, at)]: marker.slice(at + 1) }
}

/** `{ stallInterruptAfter: '1s' }` is `--stall-interrupt-after 1s`. */
function flagsOf(settings: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => [
    `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    String(value),
  ])
}

/** Sends a signal; the process may have exited already. */
export function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has exited.
  }
}
