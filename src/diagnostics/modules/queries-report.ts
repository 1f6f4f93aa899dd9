/** The topic under which the queries of a worker are reported. */
export const QUERIES_TOPIC = 'queries'

/** What a worker's queries have come to since it was started. Times are in milliseconds. */
export interface QueriesReport {
  /** On all guarded pools and SQLite databases, inside requests and out; without `begin`, `commit` and their like. */
  readonly queries: number
  readonly failed: number
  readonly rows: number
  /** Requests that were over their budget of queries. */
  readonly overBudget: number
  /** By route, for requests that asked a database; the routes with the most queries. */
  readonly routes: readonly RouteQueries[]
  /** Queries that requests ran again and again, by place; the most first. */
  readonly repeats: readonly RepeatReport[]
  /** The statements that took the most time in all. */
  readonly slowest: readonly FingerprintReport[]
}

export interface RouteQueries {
  readonly route: string
  readonly requests: number
  readonly queries: number
  /** The most of one request. */
  readonly max: number
}

export interface RepeatReport {
  readonly place: string
  readonly fingerprint: string
  readonly sql: string
  /** `rows`: with other values each time; `same`: with the same. */
  readonly kind: 'rows' | 'same'
  /** Where it was seen last. */
  readonly route: string
  /** Requests in which it was seen. Under load only some are looked at. */
  readonly requests: number
  /** Queries in these. */
  readonly queries: number
  /** The most of one request. */
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
  /** To within an eighth. */
  readonly p99Ms: number
  /** As `EXPLAIN` can read it, without values; null where it is too long, or SQLite's. */
  readonly explainable: string | null
}
