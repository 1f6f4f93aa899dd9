import { CACHE_TOPIC, cacheMetrics } from '../cache/cache-report.ts'
import { BOOT_TOPIC, bootMetrics } from '../diagnostics/boot-report.ts'
import type { MetricDefinition } from '../diagnostics/metric-definition.ts'
import { ARBITER_METRICS, moduleMetrics } from '../diagnostics/metrics.ts'
import { QUERIES_TOPIC, queriesMetrics } from '../query-insight/queries-report.ts'
import { QUEUE_TOPIC, queueMetrics } from '../queue/queue-report.ts'
import { ROUTES_TOPIC, routesMetrics } from '../routes/routes-report.ts'

/**
 * Every metric of `/metrics`, in the order of the reference. The arbiter knows only its own: a new
 * module adds its metrics here.
 */
export const METRICS: readonly MetricDefinition[] = [
  ...ARBITER_METRICS,
  ...moduleMetrics(QUEUE_TOPIC, queueMetrics),
  ...moduleMetrics(QUERIES_TOPIC, queriesMetrics),
  ...moduleMetrics(ROUTES_TOPIC, routesMetrics),
  ...moduleMetrics(BOOT_TOPIC, bootMetrics),
  ...moduleMetrics(CACHE_TOPIC, cacheMetrics),
]
