import { Counter, Gauge, Registry } from 'prom-client'
import type { MetricDefinition, Sample } from './metric-definition.ts'
import { ROOM_METRICS } from './modules/room-metrics.ts'
import type { Status, WorkerStatus } from './status.ts'

const STATES: readonly WorkerStatus['state'][] = ['spawned', 'booting', 'ready', 'draining', 'stalled', 'exited']

const one = (value: number, labels: Readonly<Record<string, string>> = {}): Sample[] => [{ labels, value }]

const counted = (label: string, counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))

/** A figure of each worker that has one; workers that have left are not shown. */
const perWorker =
  (figure: (worker: WorkerStatus) => number | null, divisor = 1) =>
  (status: Status): Sample[] =>
    status.workers.flatMap((worker) => {
      const value = worker.state === 'exited' ? null : figure(worker)
      return value === null ? [] : one(value / divisor, { worker: String(worker.id) })
    })

/** Prometheus wants seconds, not milliseconds. */
const SECONDS = 1_000

const WORKER = ['worker']

/** Every metric of the arbiter, in the order of the page. */
export const METRICS: readonly MetricDefinition[] = [
  {
    name: 'punctual_build_info',
    type: 'gauge',
    help: 'Always 1; the labels tell the version of Punctual and of Node.js.',
    labels: ['version', 'node_version'],
    samples: (status) => one(1, { version: status.version, node_version: process.versions.node }),
  },
  {
    name: 'punctual_start_time_seconds',
    type: 'gauge',
    help: 'When the arbiter started, in seconds since 1970.',
    labels: [],
    samples: (status) => one(Date.parse(status.startedAt) / SECONDS),
  },
  {
    name: 'punctual_ready',
    type: 'gauge',
    help: '1 if at least one worker of the wanted generation is ready and not stalled, else 0. What /readyz answers.',
    labels: [],
    samples: (status) => one(status.ready ? 1 : 0),
  },
  {
    name: 'punctual_generation',
    type: 'gauge',
    help: 'Number of the generation that serves; a reload adds one.',
    labels: [],
    samples: (status) => one(status.generation),
  },
  {
    name: 'punctual_workers_wanted',
    type: 'gauge',
    help: 'How many workers should serve.',
    labels: [],
    samples: (status) => one(status.wanted),
  },
  {
    name: 'punctual_workers',
    type: 'gauge',
    help: 'How many workers are in each state.',
    labels: ['state'],
    samples: (status) =>
      STATES.map((state) => ({
        labels: { state },
        value: status.workers.filter((worker) => worker.state === state).length,
      })),
  },
  {
    name: 'punctual_restarts_total',
    type: 'counter',
    help: 'Unplanned ends of workers since the arbiter started, by reason.',
    labels: ['reason'],
    samples: (status) => counted('reason', status.restarts),
  },
  {
    name: 'punctual_incidents_total',
    type: 'counter',
    help: 'Incidents since the arbiter started, by kind.',
    labels: ['kind'],
    samples: (status) => counted('kind', status.incidents.byKind ?? {}),
  },
  {
    name: 'punctual_worker_info',
    type: 'gauge',
    help: 'Always 1; the labels tell the process and the generation of a worker.',
    labels: ['worker', 'pid', 'generation'],
    samples: (status) =>
      status.workers.flatMap(({ id, pid, generation, state }) =>
        state === 'exited' || pid === null
          ? []
          : one(1, { worker: String(id), pid: String(pid), generation: String(generation) }),
      ),
  },
  {
    name: 'punctual_worker_age_seconds',
    type: 'gauge',
    help: 'Time since the worker was started.',
    labels: WORKER,
    samples: perWorker((worker) => worker.ageMs, SECONDS),
  },
  {
    name: 'punctual_worker_boot_duration_seconds',
    type: 'gauge',
    help: 'Time from the start of the worker until it was ready; absent before.',
    labels: WORKER,
    samples: perWorker((worker) => worker.bootMs, SECONDS),
  },
  {
    name: 'punctual_worker_requests_total',
    type: 'counter',
    help: 'Requests the worker has taken since it was started.',
    labels: WORKER,
    samples: perWorker((worker) => worker.requests),
  },
  {
    name: 'punctual_worker_requests_in_flight',
    type: 'gauge',
    help: 'Requests the worker is answering now.',
    labels: WORKER,
    samples: perWorker((worker) => worker.inFlight),
  },
  {
    name: 'punctual_worker_requests_ended_total',
    type: 'counter',
    help: 'Requests that have ended, by how: see the outcomes of a request in the reference of events.',
    labels: ['worker', 'outcome'],
    samples: (status) =>
      status.workers.flatMap(({ id, state, outcomes }) =>
        state === 'exited'
          ? []
          : Object.entries(outcomes).map(([outcome, value]) => ({ labels: { worker: String(id), outcome }, value })),
      ),
  },
  {
    name: 'punctual_worker_requests_queued',
    type: 'gauge',
    help: 'Requests that wait to be let in by admission; their handlers have not been called.',
    labels: WORKER,
    samples: perWorker((worker) => worker.waiting),
  },
  {
    name: 'punctual_worker_requests_would_be_shed_total',
    type: 'counter',
    help: 'Requests that admission, in its dark mode, would have shed. Those it has shed are an outcome.',
    labels: WORKER,
    samples: perWorker((worker) => worker.wouldBeShed),
  },
  {
    name: 'punctual_worker_overloaded',
    type: 'gauge',
    help: '1 while admission finds that more comes than the worker can do, else 0.',
    labels: WORKER,
    samples: perWorker((worker) => (worker.overloaded ? 1 : 0)),
  },
  {
    name: 'punctual_worker_abandoned_operations',
    type: 'gauge',
    help: 'Work that goes on although nobody awaits it any more: its wait ran out or was given up, and it did not heed its signal.',
    labels: WORKER,
    samples: perWorker((worker) => worker.abandonedOperations),
  },
  {
    name: 'punctual_worker_connections',
    type: 'gauge',
    help: 'Connections open to the worker now.',
    labels: WORKER,
    samples: perWorker((worker) => worker.connections),
  },
  {
    name: 'punctual_worker_loop_lag_seconds',
    type: 'gauge',
    help: 'Largest lag of the event loop in the last second.',
    labels: WORKER,
    samples: perWorker((worker) => worker.loopLagMs, SECONDS),
  },
  {
    name: 'punctual_worker_heartbeat_age_seconds',
    type: 'gauge',
    help: 'How long the main thread has not turned its event loop; about 0 when healthy.',
    labels: WORKER,
    samples: perWorker((worker) => worker.heartbeatAgeMs, SECONDS),
  },
  {
    name: 'punctual_worker_resident_memory_bytes',
    type: 'gauge',
    help: 'Resident memory of the worker process.',
    labels: WORKER,
    samples: perWorker((worker) => worker.rssBytes),
  },
  {
    name: 'punctual_worker_heap_used_bytes',
    type: 'gauge',
    help: 'JavaScript heap in use in the worker.',
    labels: WORKER,
    samples: perWorker((worker) => worker.heapUsedBytes),
  },
  {
    name: 'punctual_set_values',
    type: 'gauge',
    help: 'Settings and values of the app that `punctual set` has set and nobody has taken back.',
    labels: [],
    samples: ({ set }) => one(Object.keys(set).length),
  },
  ...ROOM_METRICS,
]

/** The metrics of one moment in Prometheus' text format 0.0.4. A registry of its own each time: nothing is kept between scrapes. */
export function renderMetrics(status: Status): Promise<string> {
  const registry = new Registry()
  for (const definition of METRICS) {
    const { name, help, labels, type } = definition
    const configuration = { name, help, labelNames: labels, registers: [registry] }
    if (type === 'gauge') {
      const gauge = new Gauge(configuration)
      for (const sample of definition.samples(status)) gauge.set(sample.labels, sample.value)
    } else {
      const counter = new Counter(configuration)
      for (const sample of definition.samples(status)) counter.inc(sample.labels, sample.value)
    }
  }
  return registry.metrics()
}

export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE
