import { AsyncResource } from 'node:async_hooks'
import { Worker } from 'node:worker_threads'
import { type FromThread, PHASE, type ThreadData, type ToThread } from './thread-protocol.ts'

/**
 * Megabytes. Rows cross in lots, so a thread needs little. The limit is above what the longest text V8 can hold takes, because reaching it can end the
 * whole process: V8 asks a thread to stop first, but not when it is one big allocation that fails.
 */
const MEMORY = 4_096

/** A thread may be made while a request is served; it must not hold on to that request for as long as it lives. */
const nobody = new AsyncResource('PunctualSqliteThread')

export interface ThreadListener {
  onMessage(message: FromThread): void
  /** It is gone, and was not told to. Called once, and never together with `onMessage` later on. */
  onLost(why: string): void
}

/** The main thread's end of one thread: what can be said to it, and whether it lives. Decides nothing. */
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
    const worker = nobody.runInAsyncScope(
      () =>
        new Worker(new URL(`./thread.${extension}`, import.meta.url), {
          workerData: { ...data, control } satisfies ThreadData,
          name: `sqlite ${name}`,
          // Not the app's: its preloads must not run here. `node:sqlite` warns of itself in each thread of Node 22.
          execArgv: ['--disable-warning=ExperimentalWarning'],
          env: {},
          resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: MEMORY, stackSizeMb: 4 },
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
        lost?.onLost(fault === '' ? `it ended with code ${code}` : fault)
      })
    })
    this.rest()
  }

  send(message: ToThread): void {
    if (message.kind !== 'more') Atomics.store(this.#phase, 0, PHASE.running)
    // A call that waits keeps the process alive, an idle thread does not.
    this.#worker.ref()
    this.#worker.postMessage(message)
  }

  /** Nothing is awaited from it. */
  rest(): void {
    this.#worker.unref()
  }

  /** Nobody waits for its job any more. False when the job is being committed, and so may be carried out. */
  cancel(): boolean {
    return Atomics.compareExchange(this.#phase, 0, PHASE.running, PHASE.cancelled) !== PHASE.committing
  }

  /** It is heard no more, and ends as soon as it can: at once if it is in JavaScript, else when SQLite's step returns. */
  abandon(): void {
    this.#listener = null
    this.#worker.unref()
    void this.#worker.terminate()
  }

  /** It closes its file and ends. */
  close(): void {
    this.#listener = null
    // The process stays until the log has been written back into the file.
    this.#worker.ref()
    this.#worker.postMessage({ kind: 'close' } satisfies ToThread)
  }
}
