import type { MetricDefinition } from '../metric-definition.ts'
import { BOOT_TOPIC, bootMetrics } from './boot.ts'
import { cacheMetrics } from './cache-metrics.ts'
import { CACHE_TOPIC } from './cache-report.ts'
import { queriesMetrics } from './queries-metrics.ts'
import { QUERIES_TOPIC } from './queries-report.ts'
import { queueMetrics } from './queue-metrics.ts'
import { QUEUE_TOPIC } from './queue-report.ts'
import type { ModuleMetric } from './room-metric.ts'
import { routesMetrics } from './routes-metrics.ts'
import { ROUTES_TOPIC } from './routes-report.ts'

/** The metrics of the modules, by the topic under which they report. */
const ROOMS: readonly MetricDefinition[] = [
  ...ofRoom(QUEUE_TOPIC, queueMetrics),
  ...ofRoom(QUERIES_TOPIC, queriesMetrics),
  ...ofRoom(ROUTES_TOPIC, routesMetrics),
  ...ofRoom(BOOT_TOPIC, bootMetrics),
  ...ofRoom(CACHE_TOPIC, cacheMetrics),
]

/** The metrics of one room, made from what the workers that live have reported under its topic. */
function ofRoom<Snapshot>(topic: string, metrics: readonly ModuleMetric<Snapshot>[]): readonly MetricDefinition[] {
  return metrics.map(({ name, help, type, labels, values }) => ({
    name,
    help,
    type,
    labels: ['worker', ...labels],
    samples: (status) =>
      status.workers.flatMap(({ id, state, modules }) => {
        const snapshot = modules[topic]
        if (state === 'exited' || snapshot === undefined) return []
        return values(snapshot as Snapshot).map((one) => ({ ...one, labels: { worker: String(id), ...one.labels } }))
      }),
  }))
}

export const ROOM_METRICS: readonly MetricDefinition[] = ROOMS
