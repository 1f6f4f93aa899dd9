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

/** A metric of a module, computed from its report; the arbiter adds the label `worker`. */
export interface ModuleMetric<Report> {
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  /** Besides `worker`. */
  readonly labels: readonly string[]
  values(report: Report): readonly Sample[]
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
