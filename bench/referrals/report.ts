import { markdownTable } from '../figures.ts'
import type { BothSides, Case } from './cases.ts'
import type { Figures } from './measure.ts'

/** The incident's bars: this share less, at least. */
const FEWER_QUERIES = 0.9
const LOWER_TIME = 0.8

const HEAD = [
  'Page, before → after',
  'Requests',
  'Queries',
  'fewer',
  'p50 (ms)',
  'lower',
  'p99 (ms)',
  'lower',
  'Requests/s',
]

export function formatPages(results: ReadonlyMap<Case, BothSides<Figures>>): string {
  return markdownTable(
    HEAD,
    [...results].map(([{ name }, { before, after }]) => [
      name,
      String(before.requests),
      `${before.queries} → ${after.queries}`,
      percent(less(before.queries, after.queries)),
      `${figure(before.p50)} → ${figure(after.p50)}`,
      percent(less(before.p50, after.p50)),
      `${figure(before.p99)} → ${figure(after.p99)}`,
      percent(less(before.p99, after.p99)),
      `${figure(before.requestsPerSecond)} → ${figure(after.requestsPerSecond)}`,
    ]),
  )
}

/** The bars are for what the incident was about: pages of 50 and more rows. */
export function formatBars(results: ReadonlyMap<Case, BothSides<Figures>>): string {
  const long = [...results].filter(([{ rows }]) => rows >= 50).map(([, sides]) => sides)
  const bar = (what: string, share: number, of: (figures: Figures) => number): string => {
    const least = Math.min(...long.map(({ before, after }) => less(of(before), of(after))))
    return `${what}, at least ${percent(share)}: ${least >= share ? 'met' : 'NOT met'}, ${percent(least)} at the least`
  }
  return [
    `Bars, for pages of 50 rows and more. ${bar('Fewer queries', FEWER_QUERIES, ({ queries }) => queries)}.`,
    `${bar('Lower response time', LOWER_TIME, ({ p50 }) => p50)} (p50), ${percent(
      Math.min(...long.map(({ before, after }) => less(before.p99, after.p99))),
    )} (p99).`,
  ].join(' ')
}

function less(before: number, after: number): number {
  return 1 - after / before
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0.99 && share < 1 ? 1 : 0)} %`
}

function figure(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0)
}
