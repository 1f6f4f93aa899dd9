import { parentPort, workerData } from 'node:worker_threads'
import { ConnectionTable } from '../http/connection-table.ts'
import type { FromWatchdog, ToWorker } from '../ipc/messages.ts'
import { applyChange } from '../ipc/worker-config.ts'
import { every, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { descendants, killAll } from '../system/process-tree.ts'
import { BootWatch } from './boot-watch.ts'
import { HeapEstimate } from './heap-estimate.ts'
import { ArbiterLink } from './link.ts'
import { Pulse } from './pulse.ts'
import { LOOK_EVERY, type ThreadData } from './thread-data.ts'
import { Watchman } from './watchman.ts'

/** Entry of the watchdog thread. It must never wait for the main thread: `console`, for one, would. */
const BEATS_TO_ARBITER_EVERY = ms(500)
/** A heartbeat older than this means that the main thread stands still. */
const STILL_AFTER = LOOK_EVERY * 5

const data = workerData as ThreadData
const { settings } = data.config
const pulse = new Pulse(data.pulse)
const table = new ConnectionTable(data.table)
const link = new ArbiterLink(data.link, hear, orphaned)
const watchman = new Watchman(pulse, table, settings, (message) => link.send(message))
const heap = new HeapEstimate(pulse)
const bootWatch = new BootWatch(pulse, settings.slowBootThreshold, (bootMs, worst) =>
  link.send({ type: 'boot-slow', bootMs, worst }),
)
let halves = 0
let lagOfSecond = 0

every(ms(LOOK_EVERY), look, { keepAlive: true })
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
      abandonedOperations: table.zombies,
      rss: process.memoryUsage.rss(),
      heapUsed: pulse.booting ? pulse.heapUsed : heap.look(),
      heapLimit: pulse.heapLimit,
      debugged: watchman.debugged(now),
    },
  }
  link.send(message)
}
