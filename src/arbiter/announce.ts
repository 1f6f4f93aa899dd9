import type { Log } from '../diagnostics/log.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { Installation } from '../system/installation.ts'
import type { Announcement } from './events.ts'
import type { ServiceManager } from './service-manager.ts'
import type { RecycleReason, State } from './state.ts'

export interface AnnounceOptions {
  readonly log: Log
  readonly serviceManager: ServiceManager
  /** The app's entry, as the operator wrote it. */
  readonly entry: string
}

/** Logs what the arbiter does, except incidents, and reports it to the service manager. */
export function announce(what: Announcement, state: State, { log, serviceManager, entry }: AnnounceOptions): void {
  switch (what.of) {
    case 'starting':
      log.info({ event: 'starting', workers: what.workers, entry }, `starting ${count(what.workers)} of ${entry}`)
      serviceManager.status('starting')
      return
    case 'releasing':
      log.info(
        { event: 'releasing', generation: what.generation },
        `running the release steps of generation ${what.generation}`,
      )
      serviceManager.status('releasing')
      return
    case 'released':
      if (what.message !== '') log.info({ event: 'released' }, what.message)
      return
    case 'release-failed': {
      const { generation, serving, why } = what
      const fields = { event: 'release-failed', generation, serving, reason: why }
      if (serving === null) {
        log.error(fields, `the release failed and no worker was started: ${why}`)
        return
      }
      log.error(fields, `reload failed: ${why}\ngeneration ${serving} keeps serving`)
      serviceManager.status(`reload failed; generation ${serving} keeps serving`)
      serviceManager.ready()
      return
    }
    case 'running': {
      const { workers, generation, address } = what
      const url = urlOf(address)
      log.info(
        { event: 'running', workers, generation, address },
        `ready: ${count(workers)}, generation ${generation}, on ${url}`,
      )
      serviceManager.status(`${count(workers)} of generation ${generation} on ${url}`)
      serviceManager.ready()
      return
    }
    case 'worker-ready': {
      const { worker, bootMs } = what
      const workerPid = pidOf(worker, state)
      log.info(
        { event: 'worker-ready', worker, workerPid, bootMs },
        `${name(worker, workerPid)} ready after ${formatElapsed(bootMs)}`,
      )
      return
    }
    case 'worker-exited': {
      const { worker, pid, drained, code, signal } = what
      const how = `${drained ? 'drained, ' : ''}${signal ?? `exit code ${code}`}`
      log.info(
        { event: 'worker-exited', worker, workerPid: pid, drained, code, signal },
        `${name(worker, pid)} exited (${how})`,
      )
      return
    }
    case 'worker-failed': {
      const { worker, reason, restartInMs } = what
      const when = restartInMs > 0 ? `in ${formatElapsed(restartInMs)}` : 'now'
      log.info(
        { event: 'worker-restarting', worker, reason, restartInMs },
        `replacing worker ${worker} ${when} (${reason})`,
      )
      return
    }
    case 'recycling': {
      const { worker, why } = what
      const workerPid = pidOf(worker, state)
      log.info(
        { event: 'worker-recycling', worker, workerPid, ...why },
        `replacing ${name(worker, workerPid)}: ${formatRecycleReason(why)}`,
      )
      return
    }
    case 'max-memory-too-low': {
      const { worker, rss, limit, afterMs, nextInMs } = what
      log.warn(
        { event: 'max-memory-too-low', worker, workerPid: pidOf(worker, state), rss, limit, afterMs, nextInMs },
        `a new worker uses ${mebibytes(rss)}, more than maxMemory (${mebibytes(limit)}), after ${formatElapsed(afterMs)}; raise --max-memory (next replacement in ${formatElapsed(nextInMs)})`,
      )
      return
    }
    case 'scaled':
      log.info({ event: 'scaled', from: what.from, to: what.to }, `scaled from ${what.from} to ${what.to} workers`)
      return
    case 'reloading':
      log.info(
        { event: 'reloading', generation: what.generation, serving: state.generation },
        `reloading: starting generation ${what.generation} beside generation ${state.generation}`,
      )
      serviceManager.reloading()
      return
    case 'reloaded':
      log.info(
        { event: 'reloaded', generation: what.generation, tookMs: what.tookMs },
        `reloaded: generation ${what.generation} serves after ${formatElapsed(what.tookMs)}`,
      )
      serviceManager.status(`generation ${what.generation} serves`)
      serviceManager.ready()
      return
    case 'reload-failed': {
      const { generation, reason, why } = what
      const serving = state.generation
      log.error(
        { event: 'reload-failed', generation, serving, reason, why },
        `reload failed: generation ${generation} did not boot (${why}); generation ${serving} keeps serving`,
      )
      serviceManager.status(`reload failed; generation ${serving} keeps serving`)
      serviceManager.ready()
      return
    }
    case 'stopping':
      log.info(
        { event: 'stopping', now: what.now, reason: what.why, delayMs: what.delayMs },
        what.now
          ? `stopping immediately: ${what.why}`
          : `stopping${what.delayMs === 0 ? '' : ` in ${formatElapsed(what.delayMs)}`}: ${what.why}`,
      )
      serviceManager.stopping()
      return
    // Logged as incidents.
    case 'frozen':
    case 'unfrozen':
    case 'crash-loop':
      return
  }
}

/** Warns if another version of Punctual is installed: a reload does not replace the arbiter. */
export function announceRestartDue(installation: Installation, log: Log): void {
  const change = installation.change()
  if (change === null) return
  const { running, installed } = change
  const which = running === installed ? 'another build of the version that runs' : `version ${running} runs`
  log.warn(
    { event: 'restart-due', running, installed },
    `punctual ${installed} is installed, and ${which}: a reload replaces only the workers; restart to use it`,
  )
}

function formatRecycleReason(why: RecycleReason): string {
  switch (why.reason) {
    case 'memory':
      return `it uses ${mebibytes(why.rss)} of memory (maxMemory ${mebibytes(why.limit)})`
    case 'requests':
      return `it served ${why.requests} requests`
    case 'lifetime':
      return 'it reached its maximum lifetime'
    case 'stall-interrupted':
      return 'a stall was interrupted in it'
  }
}

function pidOf(worker: number, state: State): number | null {
  return state.workers.find(({ id }) => id === worker)?.pid ?? null
}

function name(worker: number, pid: number | null): string {
  return pid === null ? `worker ${worker}` : `worker ${worker} (pid ${pid})`
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}

function count(workers: number): string {
  return workers === 1 ? '1 worker' : `${workers} workers`
}

/** A URL to open: a wildcard address is shown as localhost. */
function urlOf(address: string): string {
  if (address.startsWith('/')) return address
  const local = address.replace(/^(?:0\.0\.0\.0|\[::\]):/, 'localhost:')
  return local === address ? `http://${address}` : `http://${local} (all addresses)`
}
