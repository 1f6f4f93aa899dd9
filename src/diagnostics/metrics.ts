import { Counter, Gauge, Registry } from 'prom-client'
import type { MetricDefinition, ReportedMetric, Sample } from './metric-definition.ts'
import type { Status, WorkerStatus } from './status.ts'

const STATES: readonly WorkerStatus['state'][] = [
  'spawned',
  'booting',
  'ready',
  'not-listening',
  'draining',
  'stalled',
  'exited',
]

const one = (value: number, labels: Readonly<Record<string, string>> = {}): Sample[] => [{ labels, value }]

const counted = (label: string, counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))

/** A value of each worker that has one, without exited workers. */
const perWorker =
  (figure: (worker: WorkerStatus) => number | null, divisor = 1) =>
  (status: Status): Sample[] =>
    status.workers.flatMap((worker) => {
      const value = worker.state === 'exited' ? null : figure(worker)
      return value === null ? [] : one(value / divisor, { worker: String(worker.id) })
    })

const SECONDS = 1_000

const WORKER = ['worker']

/** The metrics of the arbiter itself, in the order of the reference. Modules define their own. */
export const ARBITER_METRICS: readonly MetricDefinition[] = [
  {
    name: 'punctual_build_info',
    type: 'gauge',
    help: 'Always 1; the labels are the versions of Punctual and Node.js.',
    labels: ['version', 'node_version'],
    samples: (status) => one(1, { version: status.version, node_version: process.versions.node }),
  },
  {
    name: 'punctual_start_time_seconds',
    type: 'gauge',
    help: 'Start time of the arbiter since the Unix epoch in seconds.',
    labels: [],
    samples: (status) => one(Date.parse(status.startedAt) / SECONDS),
  },
  {
    name: 'punctual_ready',
    type: 'gauge',
    help: '1 if a worker of the serving generation is ready and not stalled, else 0; the same as /readyz.',
    labels: [],
    samples: (status) => one(status.ready ? 1 : 0),
  },
  {
    name: 'punctual_generation',
    type: 'gauge',
    help: 'Number of the serving generation; each reload adds one.',
    labels: [],
    samples: (status) => one(status.generation),
  },
  {
    name: 'punctual_workers_wanted',
    type: 'gauge',
    help: 'Wanted number of workers.',
    labels: [],
    samples: (status) => one(status.wanted),
  },
  {
    name: 'punctual_workers',
    type: 'gauge',
    help: 'Number of workers by state.',
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
    help: 'Unplanned exits of workers since the arbiter started, by reason.',
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
    help: 'Always 1; the labels are the process id and the generation of a worker.',
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
    help: 'Time from the start of the worker until it was ready; absent before that.',
    labels: WORKER,
    samples: perWorker((worker) => worker.bootMs, SECONDS),
  },
  {
    name: 'punctual_worker_requests_total',
    type: 'counter',
    help: 'Requests that the worker has received since it was started.',
    labels: WORKER,
    samples: perWorker((worker) => worker.requests),
  },
  {
    name: 'punctual_worker_requests_in_flight',
    type: 'gauge',
    help: 'Requests in flight.',
    labels: WORKER,
    samples: perWorker((worker) => worker.inFlight),
  },
  {
    name: 'punctual_worker_requests_ended_total',
    type: 'counter',
    help: 'Requests that have ended, by outcome.',
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
    help: 'Requests queued by load shedding; their handlers have not been called.',
    labels: WORKER,
    samples: perWorker((worker) => worker.waiting),
  },
  {
    name: 'punctual_worker_requests_would_be_shed_total',
    type: 'counter',
    help: 'Requests that load shedding in dry-run mode would have shed.',
    labels: WORKER,
    samples: perWorker((worker) => worker.wouldBeShed),
  },
  {
    name: 'punctual_worker_overloaded',
    type: 'gauge',
    help: '1 while load shedding considers the worker overloaded, else 0.',
    labels: WORKER,
    samples: perWorker((worker) => (worker.overloaded ? 1 : 0)),
  },
  {
    name: 'punctual_worker_abandoned_operations',
    type: 'gauge',
    help: 'Operations that continue after their wait has timed out or was abandoned, because they ignore their signal.',
    labels: WORKER,
    samples: perWorker((worker) => worker.abandonedOperations),
  },
  {
    name: 'punctual_worker_connections',
    type: 'gauge',
    help: 'Open connections.',
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
    help: 'Time since the main thread last ran its event loop; about 0 when healthy.',
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
    help: 'Settings and values of the app that are set by `punctual set`.',
    labels: [],
    samples: ({ set }) => one(Object.keys(set).length),
  },
]

/** The metrics that each worker reported last, by its id. */
export type ReportedMetrics = ReadonlyMap<number, readonly ReportedMetric[]>

const VALID_NAME = /^punctual_[a-z_]+$/

/**
 * Renders the metrics of the arbiter and those that its workers reported, in the text format of
 * Prometheus. Each scrape has its own registry.
 */
export function renderMetrics(status: Status, reported: ReportedMetrics = new Map()): Promise<string> {
  const registry = new Registry()
  for (const { samples, ...metric } of ARBITER_METRICS) addMetric(registry, { ...metric, samples: samples(status) })
  for (const metric of mergeReported(status, reported)) addMetric(registry, metric)
  return registry.metrics()
}

function addMetric(registry: Registry, { name, help, labels, type, samples }: ReportedMetric): void {
  const configuration = { name, help, labelNames: labels, registers: [registry] }
  if (type === 'gauge') {
    const gauge = new Gauge(configuration)
    for (const { labels, value } of samples) gauge.set(labels, value)
  } else {
    const counter = new Counter(configuration)
    for (const { labels, value } of samples) counter.inc(labels, value)
  }
}

/**
 * One metric for each name, with the samples of all running workers. The first worker describes it:
 * during a reload two versions of an app may describe it differently. A name of the arbiter's, or
 * an invalid one, is ignored.
 */
function mergeReported({ workers }: Status, reported: ReportedMetrics): readonly ReportedMetric[] {
  const merged = new Map<string, ReportedMetric & { readonly samples: Sample[] }>()
  const isOurs = (name: string): boolean => ARBITER_METRICS.some((metric) => metric.name === name)
  for (const { id, state } of workers) {
    for (const metric of state === 'exited' ? [] : (reported.get(id) ?? [])) {
      const { name, type, labels } = metric
      if (!VALID_NAME.test(name) || isOurs(name)) continue
      const entry = merged.get(name) ?? { ...metric, labels: ['worker', ...labels], samples: [] }
      merged.set(name, entry)
      if (entry.type !== type || entry.labels.join() !== ['worker', ...labels].join()) continue
      for (const sample of metric.samples) {
        // NaN and Infinity arrive as null: a message to the arbiter is JSON.
        if (!Number.isFinite(sample.value)) continue
        entry.samples.push({ ...sample, labels: { worker: String(id), ...sample.labels } })
      }
    }
  }
  return [...merged.values()]
}

export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE
