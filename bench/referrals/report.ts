import { markdownTable } from '../figures.ts'
import type { BothSides, Case } from './cases.ts'
import type { Figures } from './measure.ts'

/** Targets of the incident: reductions of at least this share. */
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
      percent(reduction(before.queries, after.queries)),
      `${figure(before.p50)} → ${figure(after.p50)}`,
      percent(reduction(before.p50, after.p50)),
      `${figure(before.p99)} → ${figure(after.p99)}`,
      percent(reduction(before.p99, after.p99)),
      `${figure(before.requestsPerSecond)} → ${figure(after.requestsPerSecond)}`,
    ]),
  )
}

/** The targets apply to the pages of the incident: 50 rows or more. */
export function formatTargets(results: ReadonlyMap<Case, BothSides<Figures>>): string {
  const long = [...results].filter(([{ rows }]) => rows >= 50).map(([, sides]) => sides)
  const target = (what: string, share: number, of: (figures: Figures) => number): string => {
    const least = Math.min(...long.map(({ before, after }) => reduction(of(before), of(after))))
    return `at least ${percent(share)} ${what} (minimum ${percent(least)}: ${least >= share ? 'met' : 'MISSED'}`
  }
  return [
    `Targets for pages of 50 rows or more: ${target('fewer queries', FEWER_QUERIES, ({ queries }) => queries)}),`,
    `${target('lower response time', LOWER_TIME, ({ p50 }) => p50)} at p50; ${percent(
      Math.min(...long.map(({ before, after }) => reduction(before.p99, after.p99))),
    )} at p99).`,
  ].join(' ')
}

function reduction(before: number, after: number): number {
  return 1 - after / before
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0.99 && share < 1 ? 1 : 0)} %`
}

function figure(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0)
}
