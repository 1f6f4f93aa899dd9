import { markdownTable } from '../figures.ts'
import { SIDES } from './cases.ts'
import type { BothSides, Cases, LockedTable, ZipfResult } from './measure.ts'

const HEAD = ['Case, before → after', 'Queries', 'claimed', 'p50 (ms)', 'claimed', 'p99 (ms)', 'claimed']

/** Formats the figures next to the claims of the incident report. */
export function formatCases({ rows: results, saturated }: Cases): string {
  // In the order of the report, which is the reverse of the order of measurement.
  const rows = [...results]
    .toReversed()
    .map(([{ name, claimed }, { before, after }]) => [
      name,
      `${formatRange(before.queries)} → ${formatRange(after.queries)}`,
      claimed.queries,
      `${before.p50.toFixed(0)} → ${after.p50.toFixed(after.p50 < 10 ? 1 : 0)}`,
      claimed.latency,
      `${before.p99.toFixed(0)} → ${after.p99.toFixed(0)}`,
      claimed.p99,
    ])
  const { perSecond, p50, p99 } = saturated
  return [
    markdownTable(HEAD, rows),
    '',
    `Without pauses between requests: ${perSecond.toFixed(0)} hits per second, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(0)} ms.`,
  ].join('\n')
}

export function formatZipf({ users, requests, hitRate, queries, p50, p99 }: ZipfResult): string {
  const head = ['Users', 'Requests', 'Hit rate', 'claimed', 'Queries per request', 'p50 (ms)', 'p99 (ms)']
  const cells = [
    String(users),
    String(requests),
    `${(100 * hitRate).toFixed(1)} %`,
    '80–90 %',
    queries.toFixed(2),
    p50.toFixed(1),
    p99.toFixed(0),
  ]
  return markdownTable(head, [cells])
}

export function formatLockedTable(results: BothSides<LockedTable>): string {
  const rows = SIDES.map((side) => {
    const { statuses, p50, slowest } = results[side]
    const responses = Object.entries(statuses).map(
      ([status, count]) => `${count} × ${status === '0' ? 'no response' : status}`,
    )
    return [side, responses.join(', '), seconds(p50), seconds(slowest), side === 'before' ? '30 s' : 'under 8 s']
  })
  return markdownTable(['Locked table', 'Responses', 'p50', 'Slowest', 'claimed'], rows)
}

function formatRange([least, most]: readonly [number, number]): string {
  return least === most ? String(least) : `${least}–${most}`
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(2)} s`
}
