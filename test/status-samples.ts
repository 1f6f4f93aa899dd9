import { NO_OUTCOMES } from '../src/diagnostics/outcomes.ts'
import type { Status, WorkerStatus } from '../src/diagnostics/status.ts'

/** A worker in `/status`, for tests. */
export function aWorker(given: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    id: 1,
    pid: 101,
    generation: 1,
    state: 'ready',
    tainted: false,
    ageMs: 61_500,
    bootMs: 250,
    requests: 1_200,
    inFlight: 3,
    connections: 5,
    outcomes: { ...NO_OUTCOMES, completed: 1_190, 'timed-out': 7 },
    waiting: 1,
    wouldBeShed: 4,
    overloaded: false,
    abandonedOperations: 2,
    heartbeatAgeMs: 2,
    loopLagMs: 12,
    rssBytes: 70 * 2 ** 20,
    heapUsedBytes: 20 * 2 ** 20,
    debugged: false,
    waitingFor: [],
    modules: {},
    ...given,
  }
}

/** The status of a healthy arbiter with two workers, for tests. */
export function aStatus(given: Partial<Status> = {}): Status {
  return {
    name: 'app',
    version: '0.1.0',
    pid: 100,
    phase: 'running',
    generation: 1,
    wanted: 2,
    startedAt: '2026-11-22T00:43:31.000Z',
    uptimeMs: 190_000,
    ready: true,
    address: 'http://0.0.0.0:3000',
    workers: [aWorker(), aWorker({ id: 2, pid: 102 })],
    restarts: {},
    incidents: { total: 0, newest: null },
    set: {},
    ...given,
  }
}
