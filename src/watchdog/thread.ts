import { parentPort, workerData } from 'node:worker_threads'
import type { FromWatchdog, ToWorker } from '../protocol/messages.ts'
import { descendants, killAll } from '../protocol/process-tree.ts'
import { ConnectionTable } from '../request/connection-table.ts'
import { every, monotonicNow } from '../wait/clock.ts'
import { ms } from '../wait/duration.ts'
import { ArbiterLink } from './link.ts'
import { Pulse } from './pulse.ts'
import { LOOK_EVERY, type ThreadData } from './thread-data.ts'
import { Watchman } from './watchman.ts'

/** Entry of the watchdog thread. It must never wait for the main thread: `console`, for one, would. */
const BEATS_TO_ARBITER_EVERY = ms(500)

const data = workerData as ThreadData
const pulse = new Pulse(data.pulse)
const table = new ConnectionTable(data.table)
const link = new ArbiterLink(data.link, hear, orphaned)
const watchman = new Watchman(pulse, table, data.config.settings, (message) => link.send(message))
let halves = 0
let lagOfSecond = 0

every(ms(LOOK_EVERY), () => watchman.look(), { keepAlive: true })
every(BEATS_TO_ARBITER_EVERY, beat, { keepAlive: true })
beat()

function hear(message: ToWorker): void {
  if (message.type === 'die') void watchman.die(message.why)
  else parentPort?.postMessage(message)
}

/** The arbiter has died. Nobody would replace or stop this worker any more, so it goes at once, even while it spins. */
function orphaned(): void {
  killAll(descendants(process.pid))
  process.kill(process.pid, 'SIGKILL')
}

function beat(): void {
  const now = monotonicNow()
  const heartbeatAgeMs = pulse.lastBeat === 0 ? 0 : Math.max(0, Math.round(now - pulse.lastBeat))
  const loopLagMs = Math.max(Math.round(pulse.takeLag()), heartbeatAgeMs > LOOK_EVERY * 5 ? heartbeatAgeMs : 0)
  lagOfSecond = Math.max(lagOfSecond, loopLagMs)
  if (++halves % 2 === 0) {
    watchman.recordLag(lagOfSecond)
    lagOfSecond = 0
  }
  const message: FromWatchdog = {
    type: 'beat',
    vitals: {
      heartbeatAgeMs,
      loopLagMs,
      requests: table.requests,
      inFlight: table.inFlight,
      connections: table.connections,
      rss: process.memoryUsage.rss(),
      heapUsed: pulse.heapUsed,
      heapLimit: pulse.heapLimit,
      debugged: watchman.debugged(now),
    },
  }
  link.send(message)
}
