import type { ModuleMetric } from '../metric-definition.ts'
import type { QueriesReport } from './queries-report.ts'

const SECONDS = 1 / 1_000

const one = (value: number): readonly { labels: Record<string, string>; value: number }[] => [{ labels: {}, value }]

/** What `/metrics` says of the queries of each worker. */
export const queriesMetrics: readonly ModuleMetric<QueriesReport>[] = [
  {
    name: 'punctual_queries_total',
    type: 'counter',
    help: 'Queries that were answered on guarded pools and SQLite databases; without begin, commit and their like.',
    labels: [],
    values: ({ queries }) => one(queries),
  },
  {
    name: 'punctual_queries_failed_total',
    type: 'counter',
    help: 'Queries that failed, ran out of time or were given up.',
    labels: [],
    values: ({ failed }) => one(failed),
  },
  {
    name: 'punctual_query_rows_total',
    type: 'counter',
    help: 'Rows that queries gave back or changed.',
    labels: [],
    values: ({ rows }) => one(rows),
  },
  {
    name: 'punctual_requests_over_query_limit_total',
    type: 'counter',
    help: 'Requests that ran more queries than their route may.',
    labels: [],
    values: ({ overBudget }) => one(overBudget),
  },
  {
    name: 'punctual_route_queries_total',
    type: 'counter',
    help: 'Queries of requests, by route. Divided by punctual_route_query_requests_total: queries a request.',
    labels: ['route'],
    values: ({ routes }) => routes.map(({ route, queries }) => ({ labels: { route }, value: queries })),
  },
  {
    name: 'punctual_route_query_requests_total',
    type: 'counter',
    help: 'Requests that ran at least one query, by route.',
    labels: ['route'],
    values: ({ routes }) => routes.map(({ route, requests }) => ({ labels: { route }, value: requests })),
  },
  {
    name: 'punctual_route_queries_max',
    type: 'gauge',
    help: 'The most queries one request has run since the worker was started, by route.',
    labels: ['route'],
    values: ({ routes }) => routes.map(({ route, max }) => ({ labels: { route }, value: max })),
  },
  {
    name: 'punctual_query_repeats_total',
    type: 'counter',
    help: 'Queries that requests ran again and again from one place, as far as looked at; kind is rows (load them together) or same (keep the answer).',
    labels: ['place', 'fingerprint', 'kind'],
    values: ({ repeats }) =>
      repeats.map(({ place, fingerprint, kind, queries }) => ({
        labels: { place, fingerprint, kind },
        value: queries,
      })),
  },
  {
    name: 'punctual_query_seconds_total',
    type: 'counter',
    help: 'Time from asking to the answer, of the statements that took the most; punctual status shows what they are.',
    labels: ['fingerprint'],
    values: ({ slowest }) =>
      slowest.map(({ fingerprint, totalMs }) => ({ labels: { fingerprint }, value: totalMs * SECONDS })),
  },
  {
    name: 'punctual_query_runs_total',
    type: 'counter',
    help: 'How often they were answered. punctual_query_seconds_total divided by it: seconds a run.',
    labels: ['fingerprint'],
    values: ({ slowest }) => slowest.map(({ fingerprint, count }) => ({ labels: { fingerprint }, value: count })),
  },
  {
    name: 'punctual_query_duration_seconds',
    type: 'gauge',
    help: 'Time within which that share of them was answered, to within an eighth.',
    labels: ['fingerprint', 'quantile'],
    values: ({ slowest }) =>
      slowest.map(({ fingerprint, p99Ms }) => ({ labels: { fingerprint, quantile: '0.99' }, value: p99Ms * SECONDS })),
  },
]
