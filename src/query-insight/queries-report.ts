import type { ModuleMetric } from '../diagnostics/metric-definition.ts'

/** The topic under which a worker reports its queries. */
export const QUERIES_TOPIC = 'queries'

/** The queries of a worker since its start. Times are in milliseconds. */
export interface QueriesReport {
  /**
   * Successful queries on guarded pools and SQLite databases, without `begin`, `commit` and the
   * like.
   */
  readonly queries: number
  readonly failed: number
  readonly rows: number
  /** Requests that ran more queries than their maximum. */
  readonly requestsOverLimit: number
  /** The routes with the most queries. */
  readonly routes: readonly RouteQueries[]
  /** The places with the most repeated queries. */
  readonly repeats: readonly RepeatReport[]
  /** The statements that took the most time in total. */
  readonly slowest: readonly FingerprintReport[]
}

export interface RouteQueries {
  readonly route: string
  /** Requests that ran at least one query. */
  readonly requests: number
  readonly queries: number
  /** The most queries of one request. */
  readonly max: number
}

export interface RepeatReport {
  readonly place: string
  readonly fingerprint: string
  readonly sql: string
  /** `rows`: with different values. `same`: with the same values. */
  readonly kind: 'rows' | 'same'
  /** The last route that it was found in. */
  readonly route: string
  /** The requests that it was found in. Under load only some requests are examined. */
  readonly requests: number
  /** The queries in these requests. */
  readonly queries: number
  /** The most queries in one request. */
  readonly max: number
}

export interface FingerprintReport {
  readonly fingerprint: string
  readonly sql: string
  readonly pool: string
  readonly count: number
  readonly failed: number
  readonly rows: number
  readonly totalMs: number
  /** Accurate to an eighth. */
  readonly p99Ms: number
  /** The statement for `EXPLAIN`, without values; null if it is too long or runs on SQLite. */
  readonly explainable: string | null
}

const SECONDS = 1 / 1_000

const one = (value: number): readonly { labels: Record<string, string>; value: number }[] => [{ labels: {}, value }]

/** The metrics of the queries of each worker. */
export const queriesMetrics: readonly ModuleMetric<QueriesReport>[] = [
  {
    name: 'punctual_queries_total',
    type: 'counter',
    help: 'Successful queries on guarded pools and SQLite databases, without begin, commit and the like.',
    labels: [],
    values: ({ queries }) => one(queries),
  },
  {
    name: 'punctual_queries_failed_total',
    type: 'counter',
    help: 'Queries that failed, timed out or were given up.',
    labels: [],
    values: ({ failed }) => one(failed),
  },
  {
    name: 'punctual_query_rows_total',
    type: 'counter',
    help: 'Rows that queries returned or changed.',
    labels: [],
    values: ({ rows }) => one(rows),
  },
  {
    name: 'punctual_requests_over_query_limit_total',
    type: 'counter',
    help: 'Requests that ran more queries than maxQueriesPerRequest or the maximum of their route.',
    labels: [],
    values: ({ requestsOverLimit }) => one(requestsOverLimit),
  },
  {
    name: 'punctual_route_queries_total',
    type: 'counter',
    help: 'Queries of requests, by route. Divide by punctual_route_query_requests_total for queries per request.',
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
    help: 'The most queries of one request since the worker was started, by route.',
    labels: ['route'],
    values: ({ routes }) => routes.map(({ route, max }) => ({ labels: { route }, value: max })),
  },
  {
    name: 'punctual_query_repeats_total',
    type: 'counter',
    help: 'Queries repeated from one place, in examined requests; kind is rows (load together) or same (keep the result).',
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
    help: 'Time from call to result of the statements that took the most time; punctual explain lists them.',
    labels: ['fingerprint'],
    values: ({ slowest }) =>
      slowest.map(({ fingerprint, totalMs }) => ({ labels: { fingerprint }, value: totalMs * SECONDS })),
  },
  {
    name: 'punctual_query_runs_total',
    type: 'counter',
    help: 'Successful runs of these statements. Divide punctual_query_seconds_total by it for seconds per run.',
    labels: ['fingerprint'],
    values: ({ slowest }) => slowest.map(({ fingerprint, count }) => ({ labels: { fingerprint }, value: count })),
  },
  {
    name: 'punctual_query_duration_seconds',
    type: 'gauge',
    help: 'Quantiles of the durations of these statements, accurate to an eighth.',
    labels: ['fingerprint', 'quantile'],
    values: ({ slowest }) =>
      slowest.map(({ fingerprint, p99Ms }) => ({ labels: { fingerprint, quantile: '0.99' }, value: p99Ms * SECONDS })),
  },
]
