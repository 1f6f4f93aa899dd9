import { markdownTable } from '../figures.ts'
import { SIDES } from './cases.ts'
import type { BothSides, Cases, Crowd, Hung } from './measure.ts'

const HEAD = ['Case, before → after', 'Queries', 'claimed', 'p50 (ms)', 'claimed', 'p99 (ms)', 'claimed']

/** The incident's table: what was measured, each beside what the incident claimed. */
export function formatCases({ rows: results, restless }: Cases): string {
  // As the incident has them; measured the other way round, since who signs up returns.
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
  const { perSecond, p50, p99 } = restless
  return [
    markdownTable(HEAD, rows),
    '',
    `Without rest, ${perSecond.toFixed(0)} hits a second are answered: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(0)} ms.`,
  ].join('\n')
}

export function formatCrowd({ users, requests, hitRate, queries, p50, p99 }: Crowd): string {
  const head = ['Users', 'Requests', 'Hit rate', 'claimed', 'Queries a request', 'p50 (ms)', 'p99 (ms)']
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

export function formatHung(results: BothSides<Hung>): string {
  const rows = SIDES.map((side) => {
    const { statuses, p50, slowest } = results[side]
    const told = Object.entries(statuses).map(([status, count]) => `${count} × ${status === '0' ? 'none' : status}`)
    return [side, told.join(', '), seconds(p50), seconds(slowest), side === 'before' ? '30 s' : 'under 8 s']
  })
  return markdownTable(['A table that hangs', 'Answers', 'p50', 'Slowest', 'claimed'], rows)
}

function formatRange([least, most]: readonly [number, number]): string {
  return least === most ? String(least) : `${least}–${most}`
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(2)} s`
}
