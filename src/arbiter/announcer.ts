import type { Log } from '../report/log.ts'
import { tellDuration } from '../wait/duration.ts'
import type { Announcement } from './action.ts'
import type { ServiceManager } from './service-manager.ts'
import type { State } from './state.ts'

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
  const who = (id: number, state: State): string => {
    const pid = state.workers.find((worker) => worker.id === id)?.pid
    return pid === undefined || pid === null ? `worker ${id}` : `worker ${id} (pid ${pid})`
  }
  return (what, state) => {
    switch (what.of) {
      case 'starting':
        log.info({}, `starting ${count(what.workers)} of ${entry}`)
        serviceManager.status('starting')
        return
      case 'releasing':
        log.info({}, `release before generation ${what.generation}`)
        serviceManager.status('releasing')
        return
      case 'released':
        if (what.told !== '') log.info({}, what.told)
        return
      case 'release-failed':
        if (what.serving === null) {
          log.error({}, `the release failed, so nothing is started: ${what.why}`)
          return
        }
        log.error({}, `reload failed: ${what.why}\ngeneration ${what.serving} keeps serving`)
        serviceManager.status(`reload failed; generation ${what.serving} keeps serving`)
        serviceManager.ready()
        return
      case 'running':
        log.info({}, `ready: ${count(what.workers)}, generation ${what.generation}, on ${urlOf(what.address)}`)
        serviceManager.status(`${count(what.workers)} of generation ${what.generation} on ${urlOf(what.address)}`)
        serviceManager.ready()
        return
      case 'worker-ready':
        log.info({}, `${who(what.worker, state)} is ready after ${tellDuration(what.bootMs)}`)
        return
      case 'worker-left':
        log.info({}, `worker ${what.worker} has left`)
        return
      case 'worker-failed':
        log.info(
          {},
          what.restartInMs > 0
            ? `worker ${what.worker} is replaced in ${tellDuration(what.restartInMs)}`
            : `worker ${what.worker} is replaced`,
        )
        return
      case 'recycling':
        log.info({}, `${who(what.worker, state)} is replaced: ${what.why}`)
        return
      case 'scaled':
        log.info({}, `${count(what.to)} wanted, ${what.from} before`)
        return
      case 'reloading':
        log.info({}, `reloading: generation ${what.generation} boots beside generation ${state.generation}`)
        serviceManager.reloading()
        return
      case 'reloaded':
        log.info({}, `reloaded: generation ${what.generation} serves after ${tellDuration(what.tookMs)}`)
        serviceManager.status(`generation ${what.generation} serves`)
        serviceManager.ready()
        return
      case 'reload-failed':
        log.error(
          {},
          `reload failed: generation ${what.generation} did not boot (${what.why}); generation ${state.generation} keeps serving`,
        )
        serviceManager.status(`reload failed; generation ${state.generation} keeps serving`)
        serviceManager.ready()
        return
      case 'stopping':
        log.info({}, what.now ? `stopping now: ${what.why}` : `stopping: ${what.why}`)
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

function count(workers: number): string {
  return workers === 1 ? '1 worker' : `${workers} workers`
}

/** Where a person can open it: a wildcard address is no place to go to. */
function urlOf(address: string): string {
  return address.startsWith('/')
    ? address
    : `http://${address.replace(/^0\.0\.0\.0:/, 'localhost:').replace(/^\[::\]:/, 'localhost:')}`
}
