import { generatedFrom, markdownTable } from './markdown.ts'

/** What the page shows of a metric. */
interface DocumentedMetric {
  readonly name: string
  readonly type: string
  readonly labels: readonly string[]
  readonly help: string
}

const INTRODUCTION = `# Metrics

\`/metrics\` of the admin server returns these metrics in the text format of Prometheus. The arbiter answers from its own data, so
that a stalled worker does not delay a scrape. Units are seconds and bytes.`

/** `docs/reference/metrics.md`. */
export function metricsPage(
  ofArbiter: readonly DocumentedMetric[],
  ofModules: readonly (readonly DocumentedMetric[])[],
): string {
  const perWorker = ofModules.flat().map((metric) => ({ ...metric, labels: ['worker', ...metric.labels] }))
  const rows = [...ofArbiter, ...perWorker].map(({ name, type, labels, help }) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ])
  const table = markdownTable(['Metric', 'Type', 'Labels', 'Meaning'], rows)
  return `${[generatedFrom('src/diagnostics/metrics.ts and the reports of the modules'), INTRODUCTION, table].join('\n\n')}\n`
}
