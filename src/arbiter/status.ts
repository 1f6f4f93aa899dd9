import { NO_OUTCOMES } from '../diagnostics/outcomes.ts'
import type { Status, WorkerStatus } from '../diagnostics/status.ts'
import { isReady, type State } from './state.ts'

export interface StatusFacts {
  readonly name: string
  readonly version: string
  readonly startedAt: Date
  readonly uptimeMs: number
  readonly incidents: Status['incidents']
  readonly set: Status['set']
  readonly release: Status['release']
  /** The latest reports of the modules in a worker. */
  readonly modules: (worker: number) => WorkerStatus['modules']
}

/** Builds what `/status`, `punctual status` and the metrics show. */
export function buildStatus(state: State, facts: StatusFacts, now: number): Status {
  return {
    name: facts.name,
    version: facts.version,
    pid: process.pid,
    phase:
      state.phase === 'stopped'
        ? 'stopping'
        : state.phase === 'running' && state.reload !== null
          ? 'reloading'
          : state.phase,
    generation: state.generation,
    wanted: state.wanted,
    startedAt: facts.startedAt.toISOString(),
    uptimeMs: Math.round(facts.uptimeMs),
    ready: isReady(state),
    address: state.address,
    workers: state.workers.map((worker) => ({
      id: worker.id,
      pid: worker.pid,
      generation: worker.generation,
      state: worker.life,
      tainted: worker.tainted,
      ageMs: Math.round(now - worker.spawnedAt),
      bootMs: worker.bootMs,
      requests: worker.vitals?.requests ?? 0,
      inFlight: worker.vitals?.inFlight ?? 0,
      connections: worker.vitals?.connections ?? 0,
      outcomes: worker.vitals?.outcomes ?? NO_OUTCOMES,
      waiting: worker.vitals?.waiting ?? 0,
      wouldBeShed: worker.vitals?.wouldBeShed ?? 0,
      overloaded: worker.vitals?.overloaded ?? false,
      abandonedOperations: worker.vitals?.abandonedOperations ?? 0,
      // Its age when it was reported, plus the time since.
      heartbeatAgeMs:
        worker.vitals === null ? null : Math.round(worker.vitals.heartbeatAgeMs + now - worker.heartbeatAt),
      loopLagMs: worker.vitals?.loopLagMs ?? null,
      rssBytes: worker.vitals?.rss ?? null,
      heapUsedBytes: worker.vitals?.heapUsed ?? null,
      debugged: worker.vitals?.debugged ?? false,
      waitingFor: worker.waitingFor,
      modules: facts.modules(worker.id),
    })),
    release: facts.release ?? null,
    restarts: state.restarts as Record<string, number>,
    incidents: facts.incidents,
    set: facts.set,
  }
}
