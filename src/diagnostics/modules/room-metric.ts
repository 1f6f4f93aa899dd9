/** One metric of a room of the toolkit, as data; the arbiter makes it from what workers report, and adds the label `worker`. */
export interface ModuleMetric<Snapshot> {
  /** Prometheus style: base units, `_total` on counters. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  /** Besides `worker`. */
  readonly labels: readonly string[]
  values(snapshot: Snapshot): readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
}
