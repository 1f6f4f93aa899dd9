import { url as inspectorUrl } from 'node:inspector'
import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { ConnectionTable } from '../http/connection-table.ts'
import type { ToWorker } from '../ipc/messages.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { mayInspect } from '../system/permissions.ts'
import { heapLimit } from './heap-estimate.ts'
import { BEAT_INTERVAL, type Pulse } from './pulse.ts'

/** What the main thread passes to its watchdog thread. */
export interface ThreadData {
  readonly config: WorkerConfig
  /** Memory of the `ConnectionTable`. */
  readonly table: SharedArrayBuffer
  /** Memory of the `Pulse`. */
  readonly pulse: SharedArrayBuffer
  /** Descriptor of the socket to the arbiter; -1 without an arbiter. */
  readonly arbiterSocket: number
}

export interface WatchdogOptions {
  readonly config: WorkerConfig
  readonly table: ConnectionTable
  readonly pulse: Pulse
  /** Descriptor of the socket to the arbiter; -1 without an arbiter. */
  readonly arbiterSocket: number
  /**
   * Called on every heartbeat, after the pulse is set: how late it is, and when the next is due.
   */
  readonly onBeat: (lag: number, nextBy: number) => void
  /**
   * Called on the first turn after an interrupt: the sequence number of its request, or -1 for
   * none.
   */
  readonly onInterrupted: (sequence: number) => void
  readonly onOrder: (order: ToWorker) => void
  /**
   * The thread failed, which is a bug of Punctual; the worker must not go on without a watchdog.
   */
  readonly onFailed: (error: Error) => void
}

/** Starts the watchdog thread, and the heartbeat of the main thread that it watches. */
export function startWatchdog(options: WatchdogOptions): void {
  options.pulse.inspectorDenied = !mayInspect()
  startThread(options)
  const { pulse, table } = options
  const limit = heapLimit([process.env.NODE_OPTIONS ?? '', ...process.execArgv])
  let expected = monotonicNow() + BEAT_INTERVAL
  let inspected: string | undefined
  const beat = (): void => {
    const now = monotonicNow()
    const lag = now - expected
    pulse.raiseLag(lag)
    expected = now + BEAT_INTERVAL
    // What was running has returned, or was interrupted.
    table.running = 0
    const interrupted = pulse.takeCleanup()
    // On every beat (it takes less than a microsecond): a heap may fill up within a second.
    pulse.setHeap(getHeapStatistics().used_heap_size, limit)
    // On every beat: a debugger may pause in the very turn in which it attached.
    const address = inspectorUrl()
    if (address !== inspected) {
      inspected = address
      pulse.inspectorPort = address === undefined ? 0 : Number(new URL(address).port)
    }
    pulse.lastBeat = now
    if (interrupted !== 0) {
      // The `finally` of `allowBlocking` did not run if its job was interrupted.
      pulse.setBlocking('', 0)
      options.onInterrupted(interrupted)
    }
    options.onBeat(lag, expected)
  }
  every(ms(BEAT_INTERVAL), beat)
  beat()
}

function startThread({ config, table, pulse, arbiterSocket, onOrder, onFailed }: WatchdogOptions): void {
  const data: ThreadData = { config, table: table.memory, pulse: pulse.memory, arbiterSocket }
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const thread = new Worker(new URL(`./thread.${extension}`, import.meta.url), {
    workerData: data,
    name: 'punctual watchdog',
    // Not those of the worker: the app's preloads must not run a second time here.
    execArgv: [],
    env: { ...process.env, NODE_OPTIONS: '' },
    resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
  })
  thread.on('message', onOrder)
  thread.on('error', onFailed)
  // Last, because a message listener holds the process; only the app decides how long it lives.
  thread.unref()
}
