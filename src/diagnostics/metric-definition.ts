import type { Status } from './status.ts'

/** A metric of `/metrics`. Both the scrape and `docs/reference/metrics.md` are made from it. */
export interface MetricDefinition {
  /** In the style of Prometheus: base units, `_total` for counters. */
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly labels: readonly string[]
  samples(status: Status): readonly Sample[]
}

/** A metric of a module, computed from its report in the worker. */
export interface ModuleMetric<Report> {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  /** Besides `worker`. */
  readonly labels: readonly string[]
  values(report: Report): readonly Sample[]
}

/**
 * A metric as a worker sends it. It describes itself, so that the arbiter knows no module, and an
 * app may have another version of the package. The arbiter adds the label `worker`.
 */
export interface ReportedMetric {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly labels: readonly string[]
  readonly samples: readonly Sample[]
}

/** Computes the metrics of a module from its report. */
export function reportMetrics<Report>(
  metrics: readonly ModuleMetric<Report>[],
  report: Report,
): readonly ReportedMetric[] {
  return metrics.map(({ values, ...metric }) => ({ ...metric, samples: values(report) }))
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
