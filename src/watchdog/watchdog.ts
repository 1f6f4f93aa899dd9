import { url as inspectorUrl } from 'node:inspector'
import { getHeapStatistics } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { ConnectionTable } from '../http/connection-table.ts'
import type { ToWorker } from '../ipc/messages.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { heapLimit } from './heap-estimate.ts'
import { BEAT_INTERVAL, type Pulse } from './pulse.ts'

/** What the main thread hands its watchdog at the start. */
export interface ThreadData {
  readonly config: WorkerConfig
  /** Memory of the `ConnectionTable`. */
  readonly table: SharedArrayBuffer
  /** Memory of the `Pulse`. */
  readonly pulse: SharedArrayBuffer
  /** Where the arbiter is, or -1 where there is none. */
  readonly link: number
}

export interface WatchdogOptions {
  readonly config: WorkerConfig
  readonly table: ConnectionTable
  readonly pulse: Pulse
  readonly link: number
  /** On every beat, after the pulse has been set: how late it was, and when the next is due. */
  readonly onBeat: (lag: number, nextBy: number) => void
  /** The watchdog cut something: the sequence number of its request, or -1. */
  readonly onInterrupted: (sequence: number) => void
  readonly onOrder: (order: ToWorker) => void
  /** The thread has failed, which is a fault of ours; the worker must not go on unwatched. */
  readonly onFailed: (error: Error) => void
}

/** Starts the watchdog thread and the heartbeat of the main thread that it watches. */
export function startWatchdog(options: WatchdogOptions): void {
  const { pulse, table } = options
  const data: ThreadData = {
    config: options.config,
    table: table.memory,
    pulse: pulse.memory,
    link: options.link,
  }
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const thread = new Worker(new URL(`./thread.${extension}`, import.meta.url), {
    workerData: data,
    name: 'punctual watchdog',
    // Not the worker's: the app's preloads must not run a second time here.
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64, stackSizeMb: 1 },
  })
  thread.unref()
  thread.on('message', options.onOrder)
  thread.on('error', options.onFailed)
  // A thread's message listener would keep the process alive; only the app decides how long it lives.
  thread.unref()

  const limit = heapLimit([process.env.NODE_OPTIONS ?? '', ...process.execArgv])
  let expected = monotonicNow() + BEAT_INTERVAL
  let inspected: string | undefined
  const beat = (): void => {
    const now = monotonicNow()
    const lag = now - expected
    pulse.raiseLag(lag)
    expected = now + BEAT_INTERVAL
    // Whatever was running has returned, or was cut.
    table.running = 0
    const cut = pulse.takeCleanup()
    // On every beat (it costs less than a microsecond): a heap may fill up within a second, and the process is gone.
    pulse.setHeap(getHeapStatistics().used_heap_size, limit)
    // On every beat: a debugger may pause in the very turn in which it has attached.
    const address = inspectorUrl()
    if (address !== inspected) {
      inspected = address
      pulse.inspectorPort = address === undefined ? 0 : Number(new URL(address).port)
    }
    pulse.lastBeat = now
    if (cut !== 0) {
      // No `finally` of the cut code has run, so its long turn, if it was one, still seems to be under way.
      pulse.setBlocking('', 0)
      options.onInterrupted(cut)
    }
    options.onBeat(lag, expected)
  }
  every(ms(BEAT_INTERVAL), beat)
  beat()
}
