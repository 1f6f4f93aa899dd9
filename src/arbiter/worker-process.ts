import cluster, { type Worker as ClusterWorker } from 'node:cluster'
import type { Duplex } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import type { FromMain, FromWatchdog, MainEnvelope, ToWorker } from '../ipc/messages.ts'
import { encodeWorkerConfig, LINK_DESCRIPTOR, type WorkerConfig } from '../ipc/worker-config.ts'
import { withArgv0 } from '../patches/argv-zero.ts'
import type { Installation } from '../system/installation.ts'
import { descendants, killAll } from '../system/process-tree.ts'

export interface WorkerListener {
  readonly onMessage: (message: FromMain | FromWatchdog) => void
  /** The IPC channel has closed, also before an exit. */
  readonly onDisconnected: () => void
  readonly onExit: (code: number | null, signal: string | null) => void
  readonly onSpawnFailed: (why: string) => void
}

export interface WorkerPlace {
  readonly cwd: string
  readonly installation: Installation
}

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'

/** A process that runs the app. It takes messages and can be killed; nothing here waits for it. */
export class WorkerProcess {
  readonly #worker: ClusterWorker
  readonly #link: Duplex

  /** Starts the process. It shares the arbiter's standard output and error. */
  constructor(config: WorkerConfig, { cwd, installation }: WorkerPlace, listener: WorkerListener) {
    // By path, since the arbiter must not load the code of a worker.
    const preload = pathToFileURL(installation.fileOf(`worker/preload.${extension}`)).href
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: installation.fileOf(`worker/boot.${extension}`),
      cwd,
      args: [],
      execArgv: [...interruptFlags(), '--import', preload, ...preloads(config), ...config.appFlags],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
    })
    const { port, host } = config.settings
    // As the app would have it: `node`, not the path of Node.
    this.#worker = withArgv0(process.argv0, () => cluster.fork({ PORT: String(port), HOST: host }))
    this.#link = this.#worker.process.stdio[LINK_DESCRIPTOR] as Duplex
    this.#link.on(
      'data',
      readJsonLines(
        (message) => listener.onMessage(message as FromWatchdog),
        () => {},
      ),
    )
    // A worker that dies while it is written to is reported by its exit.
    this.#link.on('error', () => {})
    this.#link.write(encodeWorkerConfig(config))
    this.#worker.on('message', (message: Partial<MainEnvelope> | null) => {
      if (message?.punctual !== undefined) listener.onMessage(message.punctual)
    })
    this.#worker.on('error', (error) => {
      if (this.pid === null) listener.onSpawnFailed(error.message)
    })
    this.#worker.on('disconnect', () => listener.onDisconnected())
    this.#worker.on('exit', (code, signal) => {
      this.#link.destroy()
      listener.onExit(code, signal)
    })
  }

  /** Null if the process could not be started. */
  get pid(): number | null {
    return this.#worker.process.pid ?? null
  }

  send(message: ToWorker): void {
    if (!this.#link.destroyed) this.#link.write(jsonLine(message))
  }

  /** Sends SIGKILL to the process and its descendants. */
  kill(): void {
    const { pid } = this
    if (pid === null) return
    const below = descendants(pid)
    this.#worker.process.kill('SIGKILL')
    killAll(below)
  }
}

/**
 * Without these flags an interruption inside a timer or under AsyncLocalStorage aborts the process
 * instead of terminating the running JavaScript.
 */
function interruptFlags(): string[] {
  const flags = ['--no-force-async-hooks-checks']
  if (Number(process.versions.node.split('.')[0]) < 24) flags.push('--experimental-async-context-frame')
  return flags
}

function preloads({ settings }: WorkerConfig): string[] {
  return settings.import.flatMap((specifier) => ['--import', specifier])
}
