import cluster, { type Worker as ClusterWorker } from 'node:cluster'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import type { FromMain, FromWatchdog, MainEnvelope, ToWorker } from '../ipc/messages.ts'
import { encodeWorkerConfig, LINK_DESCRIPTOR, type WorkerConfig } from '../ipc/worker-config.ts'
import { descendants, killAll } from '../system/process-tree.ts'

/** What a worker's process does, as it is told to the arbiter. */
export interface WorkerListener {
  readonly onTold: (message: FromMain | FromWatchdog) => void
  readonly onExit: (code: number | null, signal: string | null) => void
  readonly onSpawnFailed: (why: string) => void
}

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
// By path: the arbiter never loads what a worker is made of.
const BOOT = fileURLToPath(new URL(`../worker/boot.${extension}`, import.meta.url))
const PRELOAD = new URL(`../worker/preload.${extension}`, import.meta.url).href

/** A process that runs the app, as the arbiter holds it: it can be told things and be killed, and nothing here waits for it. */
export class WorkerHandle {
  readonly #worker: ClusterWorker
  readonly #link: Duplex

  /** Starts the process. The app's standard output and error are the arbiter's own. */
  constructor(config: WorkerConfig, listener: WorkerListener) {
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: BOOT,
      args: [encodeWorkerConfig(config)],
      execArgv: [...flagsForCuts(), '--import', PRELOAD, ...preloads(config), ...config.appFlags],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
    })
    const { port, host } = config.settings
    this.#worker = cluster.fork({ PORT: String(port), HOST: host })
    this.#link = this.#worker.process.stdio[LINK_DESCRIPTOR] as Duplex
    this.#link.on(
      'data',
      readJsonLines(
        (message) => listener.onTold(message as FromWatchdog),
        () => {},
      ),
    )
    // A worker that dies mid-sentence, or is written to as it does, is told by its exit.
    this.#link.on('error', () => {})
    this.#worker.on('message', (message: Partial<MainEnvelope> | null) => {
      if (message?.punctual !== undefined) listener.onTold(message.punctual)
    })
    this.#worker.on('error', (error) => {
      if (this.pid === null) listener.onSpawnFailed(error.message)
    })
    this.#worker.on('exit', (code, signal) => {
      this.#link.destroy()
      listener.onExit(code, signal)
    })
  }

  /** Null when the process could not be started. */
  get pid(): number | null {
    return this.#worker.process.pid ?? null
  }

  order(message: ToWorker): void {
    if (!this.#link.destroyed) this.#link.write(jsonLine(message))
  }

  /** SIGKILL, to the process and to whatever it has started. */
  kill(): void {
    const { pid } = this
    if (pid === null) return
    const below = descendants(pid)
    this.#worker.process.kill('SIGKILL')
    killAll(below)
  }
}

/** Without these, a cut inside a timer or under AsyncLocalStorage aborts the process instead of ending the JavaScript. */
function flagsForCuts(): string[] {
  const flags = ['--no-force-async-hooks-checks']
  if (Number(process.versions.node.split('.')[0]) < 24) flags.push('--experimental-async-context-frame')
  return flags
}

function preloads({ settings }: WorkerConfig): string[] {
  return settings.import.flatMap((specifier) => ['--import', specifier])
}
