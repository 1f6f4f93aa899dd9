import { generatedFrom, markdownTable } from './markdown.ts'

type Metrics = typeof import('../../src/cli/metrics.ts')

const INTRODUCTION = `# Metrics

\`/metrics\` of the admin server returns these metrics in the text format of Prometheus. The arbiter answers from its own data, so
that a stalled worker does not delay a scrape. Units are seconds and bytes.`

/** `docs/reference/metrics.md`. */
export function metricsPage({ METRICS }: Metrics): string {
  const rows = METRICS.map(({ name, type, labels, help }) => [
    `\`${name}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    help,
  ])
  const table = markdownTable(['Metric', 'Type', 'Labels', 'Meaning'], rows)
  return `${[generatedFrom('src/cli/metrics.ts'), INTRODUCTION, table].join('\n\n')}\n`
}
