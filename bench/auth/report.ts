import { markdownTable } from '../figures.ts'
import { CACHED, type Case, SIDES } from './cases.ts'
import type { BothSides, Figures, Hung } from './measure.ts'

const HEAD = ['Case, before → after', 'Queries', 'claimed', 'p50 (ms)', 'claimed', 'p99 (ms)', 'claimed']
const TO_COME = 'issue to come'

/** The incident's table: what was measured, each beside what the incident claimed. */
export function tellCases(results: ReadonlyMap<Case, BothSides<Figures>>): string {
  const cached = CACHED.claimed
  const rows = [...results].map(([{ name, claimed }, { before, after }]) => [
    name,
    `${tellRange(before.queries)} → ${tellRange(after.queries)}`,
    claimed.queries,
    `${before.p50.toFixed(0)} → ${after.p50.toFixed(0)}`,
    claimed.latency,
    `${before.p99.toFixed(0)} → ${after.p99.toFixed(0)}`,
    claimed.p99,
  ])
  return markdownTable(HEAD, [
    [CACHED.name, TO_COME, cached.queries, TO_COME, cached.latency, TO_COME, cached.p99],
    ...rows,
  ])
}

export function tellHung(results: BothSides<Hung>): string {
  const rows = SIDES.map((side) => {
    const { statuses, p50, slowest } = results[side]
    const told = Object.entries(statuses).map(([status, count]) => `${count} × ${status === '0' ? 'none' : status}`)
    return [side, told.join(', '), seconds(p50), seconds(slowest), side === 'before' ? '30 s' : 'under 8 s']
  })
  return markdownTable(['A table that hangs', 'Answers', 'p50', 'Slowest', 'claimed'], rows)
}

function tellRange([least, most]: readonly [number, number]): string {
  return least === most ? String(least) : `${least}–${most}`
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(2)} s`
}
