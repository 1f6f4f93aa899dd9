import type { Log } from '../diagnostics/log.ts'
import { formatElapsed } from '../resilience/duration.ts'
import type { Announcement } from './action.ts'
import type { ServiceManager } from './service-manager.ts'
import type { RecycleReason, State } from './state.ts'

export interface AnnouncerOptions {
  readonly log: Log
  readonly serviceManager: ServiceManager
  /** Of the app, as the operator wrote it. */
  readonly entry: string
}

/** Tells people (in the log) and the service manager what the arbiter does. Incidents are told by the chronicle. */
export function createAnnouncer({
  log,
  serviceManager,
  entry,
}: AnnouncerOptions): (what: Announcement, state: State) => void {
  const of = (id: number, state: State): { readonly worker: number; readonly workerPid: number | null } => ({
    worker: id,
    workerPid: state.workers.find((worker) => worker.id === id)?.pid ?? null,
  })
  const who = (id: number, state: State): string => {
    const { workerPid } = of(id, state)
    return workerPid === null ? `worker ${id}` : `worker ${id} (pid ${workerPid})`
  }
  return (what, state) => {
    switch (what.of) {
      case 'starting':
        log.info({ event: 'starting', workers: what.workers, entry }, `starting ${count(what.workers)} of ${entry}`)
        serviceManager.status('starting')
        return
      case 'releasing':
        log.info({ event: 'releasing', generation: what.generation }, `release before generation ${what.generation}`)
        serviceManager.status('releasing')
        return
      case 'released':
        if (what.told !== '') log.info({ event: 'released' }, what.told)
        return
      case 'release-failed':
        if (what.serving === null) {
          log.error(
            { event: 'release-failed', serving: null, reason: what.why },
            `the release failed, so nothing is started: ${what.why}`,
          )
          return
        }
        log.error(
          { event: 'release-failed', serving: what.serving, reason: what.why },
          `reload failed: ${what.why}\ngeneration ${what.serving} keeps serving`,
        )
        serviceManager.status(`reload failed; generation ${what.serving} keeps serving`)
        serviceManager.ready()
        return
      case 'running':
        log.info(
          { event: 'running', workers: what.workers, generation: what.generation, address: what.address },
          `ready: ${count(what.workers)}, generation ${what.generation}, on ${urlOf(what.address)}`,
        )
        serviceManager.status(`${count(what.workers)} of generation ${what.generation} on ${urlOf(what.address)}`)
        serviceManager.ready()
        return
      case 'worker-ready':
        log.info(
          { event: 'worker-ready', ...of(what.worker, state), bootMs: what.bootMs },
          `${who(what.worker, state)} is ready after ${formatElapsed(what.bootMs)}`,
        )
        return
      case 'worker-left':
        log.info({ event: 'worker-exited', worker: what.worker }, `worker ${what.worker} has left`)
        return
      case 'worker-failed':
        log.info(
          { event: 'worker-restarting', worker: what.worker, restartInMs: what.restartInMs },
          what.restartInMs > 0
            ? `worker ${what.worker} is replaced in ${formatElapsed(what.restartInMs)}`
            : `worker ${what.worker} is replaced`,
        )
        return
      case 'recycling':
        log.info(
          { event: 'worker-recycling', ...of(what.worker, state), ...what.why },
          `${who(what.worker, state)} is replaced: ${tellRecycling(what.why)}`,
        )
        return
      case 'scaled':
        log.info({ event: 'scaled', from: what.from, to: what.to }, `${count(what.to)} wanted, ${what.from} before`)
        return
      case 'reloading':
        log.info(
          { event: 'reloading', generation: what.generation, serving: state.generation },
          `reloading: generation ${what.generation} boots beside generation ${state.generation}`,
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
      case 'reload-failed':
        log.error(
          {
            event: 'reload-failed',
            generation: what.generation,
            serving: state.generation,
            reason: what.reason,
            why: what.why,
          },
          `reload failed: generation ${what.generation} did not boot (${what.why}); generation ${state.generation} keeps serving`,
        )
        serviceManager.status(`reload failed; generation ${state.generation} keeps serving`)
        serviceManager.ready()
        return
      case 'stopping':
        log.info(
          { event: 'stopping', now: what.now, reason: what.why },
          what.now ? `stopping now: ${what.why}` : `stopping: ${what.why}`,
        )
        serviceManager.stopping()
        return
      // The chronicle has more to say about these.
      case 'frozen':
      case 'thawed':
      case 'crash-loop':
        return
    }
  }
}

function tellRecycling(why: RecycleReason): string {
  switch (why.reason) {
    case 'memory':
      return `it used ${mebibytes(why.rss)} of memory, more than its limit of ${mebibytes(why.limit)}`
    case 'requests':
      return `it has served ${why.requests} requests`
    case 'lifetime':
      return 'it has reached its lifetime'
    case 'stall-interrupted':
      return 'a stall was cut in it'
  }
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}

function count(workers: number): string {
  return workers === 1 ? '1 worker' : `${workers} workers`
}

/** Where a person can open it: a wildcard address is no place to go to. */
function urlOf(address: string): string {
  return address.startsWith('/')
    ? address
    : `http://${address.replace(/^0\.0\.0\.0:/, 'localhost:').replace(/^\[::\]:/, 'localhost:')}`
}
