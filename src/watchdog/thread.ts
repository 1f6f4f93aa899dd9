import net from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { ConnectionTable } from '../http/connection-table.ts'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import type { FromWatchdog, ToWorker } from '../ipc/messages.ts'
import { applyChange } from '../ipc/worker-config.ts'
import { every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { descendants, killAll } from '../system/process-tree.ts'
import { BootSampler } from './boot-sampler.ts'
import { HeapEstimate } from './heap-estimate.ts'
import { LOOK_INTERVAL, Pulse } from './pulse.ts'
import { StallMonitor } from './stall-monitor.ts'
import type { ThreadData } from './watchdog.ts'

/** Entry of the watchdog thread. It must never wait for the main thread: `console`, for one, would. */
const BEATS_TO_ARBITER_EVERY = ms(500)
/** A heartbeat older than this means that the main thread stands still. */
const STILL_AFTER = LOOK_INTERVAL * 5

/**
 * The watchdog's own way to the arbiter: a socket that needs nothing of the main thread. When it ends, the arbiter has died.
 * A message is in the kernel when `send` returns (libuv writes at once what fits), so a SIGKILL right behind it loses nothing.
 */
class ArbiterLink {
  readonly #socket: net.Socket | null

  constructor(descriptor: number, onMessage: (message: ToWorker) => void, onOrphaned: () => void) {
    if (descriptor < 0) {
      this.#socket = null
      return
    }
    const socket = new net.Socket({ fd: descriptor, readable: true, writable: true })
    socket.on(
      'data',
      readJsonLines(
        (message) => onMessage(message as ToWorker),
        () => {},
      ),
    )
    socket.on('error', () => {})
    socket.on('close', onOrphaned)
    this.#socket = socket
  }

  send(message: FromWatchdog): void {
    this.#socket?.write(jsonLine(message))
  }
}

const data = workerData as ThreadData
const { settings } = data.config
const pulse = new Pulse(data.pulse)
const table = new ConnectionTable(data.table)
const link = new ArbiterLink(data.link, hear, orphaned)
const watchman = new StallMonitor(pulse, table, settings, (message) => link.send(message))
const heap = new HeapEstimate(pulse)
const bootWatch = new BootSampler(pulse, settings.slowBootThreshold, (bootMs, worst) =>
  link.send({ type: 'boot-slow', bootMs, worst }),
)
let halves = 0
let lagOfSecond = 0

every(ms(LOOK_INTERVAL), look, { keepAlive: true })
every(BEATS_TO_ARBITER_EVERY, beat, { keepAlive: true })
beat()

function look(): void {
  watchman.look()
  bootWatch.look()
  if (heap.becameFull()) tellVitals(0)
}

function hear(message: ToWorker): void {
  if (message.type === 'die') {
    void watchman.die(message.why)
    return
  }
  // Also while the main thread stands still: a stall under way can be spared so.
  if (message.type === 'settings') {
    applyChange(settings, message.change)
    if (message.by === 'watchdog') link.send({ type: 'settings-changed', ask: message.ask })
  }
  parentPort?.postMessage(message)
}

/** The arbiter has died. Nobody would replace or stop this worker any more, so it goes at once, even while it spins. */
function orphaned(): void {
  killAll(descendants(process.pid))
  process.kill(process.pid, 'SIGKILL')
}

function heartbeatAge(now: number): number {
  return pulse.lastBeat === 0 ? 0 : Math.max(0, Math.round(now - pulse.lastBeat))
}

function beat(): void {
  const age = heartbeatAge(monotonicNow())
  const loopLagMs = Math.max(Math.round(pulse.takeLag()), age > STILL_AFTER ? age : 0)
  lagOfSecond = Math.max(lagOfSecond, loopLagMs)
  if (++halves % 2 === 0) {
    watchman.recordLag(lagOfSecond)
    lagOfSecond = 0
  }
  tellVitals(loopLagMs)
}

function tellVitals(loopLagMs: number): void {
  const now = monotonicNow()
  const heartbeatAgeMs = heartbeatAge(now)
  const message: FromWatchdog = {
    type: 'beat',
    vitals: {
      heartbeatAgeMs,
      loopLagMs,
      requests: table.requests,
      inFlight: table.inFlight,
      connections: table.connections,
      outcomes: table.outcomes(),
      waiting: table.waiting,
      wouldBeShed: table.wouldBeShed,
      overloaded: table.overloaded,
      abandonedOperations: table.abandonedOperations,
      rss: process.memoryUsage.rss(),
      heapUsed: pulse.booting ? pulse.heapUsed : heap.look(),
      heapLimit: pulse.heapLimit,
      debugged: watchman.debugged(now),
    },
  }
  link.send(message)
}
