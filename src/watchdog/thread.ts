import net from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { ConnectionTable } from '../http/connection-table.ts'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import type { FromWatchdog, ToWorker } from '../ipc/messages.ts'
import { applyChange } from '../ipc/worker-config.ts'
import { after, every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { descendants, killAll } from '../system/process-tree.ts'
import { BootSampler } from './boot-sampler.ts'
import { HeapEstimate } from './heap-estimate.ts'
import { LOOK_INTERVAL, Pulse } from './pulse.ts'
import { StallMonitor } from './stall-monitor.ts'
import type { ThreadData } from './watchdog.ts'

// The entry of the watchdog thread. It must never wait for the main thread, as `console` would.

/** How long a main thread that is blocked in its boot has to start the app's shutdown. */
const BLOCKED_BOOT_TIMEOUT = ms(1_000)
const VITALS_INTERVAL = ms(500)
/** A heartbeat older than this means that the main thread does not turn. */
const STALLED_AFTER = LOOK_INTERVAL * 5

/**
 * The watchdog's own connection to the arbiter: a socket that does not need the main thread. It
 * closes when the arbiter has died. `send` returns once the kernel has the message (libuv writes at
 * once what fits), so a SIGKILL right after it loses nothing.
 */
class ArbiterConnection {
  readonly #socket: net.Socket | null

  constructor(descriptor: number, onMessage: (message: ToWorker) => void, onClosed: () => void) {
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
    socket.on('close', onClosed)
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
const arbiter = new ArbiterConnection(data.arbiterSocket, receive, exitAtOnce)
const monitor = new StallMonitor(pulse, table, settings, (message) => arbiter.send(message))
const heap = new HeapEstimate(pulse)
const bootSampler = new BootSampler(pulse, settings.slowBootThreshold, (bootMs, worst) =>
  arbiter.send({ type: 'boot-slow', bootMs, worst }),
)
let halfSeconds = 0
let lagOfSecond = 0

every(ms(LOOK_INTERVAL), look, { keepAlive: true })
every(VITALS_INTERVAL, report, { keepAlive: true })
report()

function look(): void {
  monitor.look()
  bootSampler.look()
  if (heap.becameFull()) sendVitals(0)
}

function receive(message: ToWorker): void {
  if (message.type === 'die') {
    void monitor.die(message.why)
    return
  }
  if (message.type === 'drain') endBlockedBoot()
  // Applied while the main thread is stalled, too: a higher threshold spares the stall under way.
  if (message.type === 'settings') {
    applyChange(settings, message.change)
    if (message.by === 'watchdog') arbiter.send({ type: 'settings-changed', ask: message.ask })
  }
  parentPort?.postMessage(message)
}

/** A signal would end a process that is blocked in its boot, unless the app listens for it. */
function endBlockedBoot(): void {
  if (!pulse.booting) return
  const { lastBeat } = pulse
  after(BLOCKED_BOOT_TIMEOUT, () => {
    if (pulse.lastBeat === lastBeat && !pulse.hasStopListener) void monitor.die('stop')
  })
}

/**
 * The arbiter has died: nothing would replace or stop this worker any more, so it exits at once.
 */
function exitAtOnce(): void {
  killAll(descendants(process.pid))
  process.kill(process.pid, 'SIGKILL')
}

function report(): void {
  const age = heartbeatAge(monotonicNow())
  const loopLagMs = Math.max(Math.round(pulse.takeLag()), age > STALLED_AFTER ? age : 0)
  lagOfSecond = Math.max(lagOfSecond, loopLagMs)
  if (++halfSeconds % 2 === 0) {
    monitor.recordLag(lagOfSecond)
    lagOfSecond = 0
  }
  sendVitals(loopLagMs)
}

function sendVitals(loopLagMs: number): void {
  const now = monotonicNow()
  arbiter.send({
    type: 'heartbeat',
    vitals: {
      heartbeatAgeMs: heartbeatAge(now),
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
      debugged: monitor.debugged(now),
    },
  })
}

function heartbeatAge(now: number): number {
  return pulse.lastBeat === 0 ? 0 : Math.max(0, Math.round(now - pulse.lastBeat))
}
