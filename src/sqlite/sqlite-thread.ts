import { AsyncResource } from 'node:async_hooks'
import { Worker } from 'node:worker_threads'
import { type FromThread, PHASE, type ThreadData, type ToThread } from './thread-protocol.ts'

/**
 * Megabytes. Rows are sent in parts, so a thread needs little. The limit exceeds what the longest
 * string of V8 takes, because one allocation beyond the limit can end the whole process.
 */
const MAX_OLD_GENERATION = 4_096

/** Threads start outside of any request: each would keep its request in memory. */
const outsideContext = new AsyncResource('PunctualSqliteThread')

export interface ThreadListener {
  onMessage(message: FromThread): void
  /** The thread exited unexpectedly. Called once; no `onMessage` follows. */
  onLost(why: string): void
}

/** The main thread's handle of one thread. It passes messages and decides nothing. */
export class SqliteThread {
  readonly #worker: Worker
  readonly #phase: Int32Array
  readonly exited: Promise<void>
  #listener: ThreadListener | null

  constructor(data: Omit<ThreadData, 'control'>, name: string, listener: ThreadListener) {
    const control = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
    this.#phase = new Int32Array(control)
    this.#listener = listener
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    const worker = outsideContext.runInAsyncScope(
      () =>
        new Worker(new URL(`./thread.${extension}`, import.meta.url), {
          workerData: { ...data, control } satisfies ThreadData,
          name: `sqlite ${name}`,
          // Not the app's flags: its preloads must not run here. Node 22 warns about `node:sqlite`
          // in each thread.
          execArgv: ['--disable-warning=ExperimentalWarning'],
          env: {},
          resourceLimits: {
            maxYoungGenerationSizeMb: 4,
            maxOldGenerationSizeMb: MAX_OLD_GENERATION,
            stackSizeMb: 4,
          },
        }),
    )
    this.#worker = worker
    let fault = ''
    worker.on('message', (message: FromThread) => this.#listener?.onMessage(message))
    worker.on('error', (error: unknown) => {
      fault = error instanceof Error ? error.message : String(error)
    })
    this.exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        const lost = this.#listener
        this.#listener = null
        resolve()
        lost?.onLost(fault === '' ? `it exited with code ${code}` : fault)
      })
    })
    this.rest()
  }

  send(message: ToThread): void {
    if (message.kind !== 'more') Atomics.store(this.#phase, 0, PHASE.running)
    // A pending call keeps the process alive; an idle thread does not.
    this.#worker.ref()
    this.#worker.postMessage(message)
  }

  /** Lets the process exit: no reply is pending. */
  rest(): void {
    this.#worker.unref()
  }

  /** Cancels the current job. Returns false when it is being committed. */
  cancel(): boolean {
    return Atomics.compareExchange(this.#phase, 0, PHASE.running, PHASE.cancelled) !== PHASE.committing
  }

  /** Ignores the thread and terminates it, which takes until the current step of SQLite returns. */
  abandon(): void {
    this.#listener = null
    this.#worker.unref()
    void this.#worker.terminate()
  }

  /** Closes the file and ends the thread. */
  close(): void {
    this.#listener = null
    // Keeps the process alive until the log has been written back into the file.
    this.#worker.ref()
    this.#worker.postMessage({ kind: 'close' } satisfies ToThread)
  }
}
