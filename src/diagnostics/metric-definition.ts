import type { Status } from './status.ts'

/** One metric of `/metrics`, as data: the scrape and the page `docs/reference/metrics.md` are both made from it. */
export interface MetricDefinition {
  /** Prometheus style: base units, `_total` on counters. */
  readonly name: string
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly labels: readonly string[]
  samples(status: Status): readonly Sample[]
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
