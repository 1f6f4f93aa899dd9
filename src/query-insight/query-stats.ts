import { workerChannel } from '../ipc/worker-channel.ts'
import { type Fingerprint, knownFingerprints, restoreFingerprint } from './fingerprint.ts'
import {
  type FingerprintReport,
  QUERIES_TOPIC,
  type QueriesReport,
  queriesMetrics,
  type RepeatReport,
  type RouteQueries,
} from './queries-report.ts'
import type { EndedRequest } from './request-queries.ts'
import { formatSql } from './sql-text.ts'

const MAX_ROUTES = 200
const MAX_REPEATS = 200
/** The most rows of each kind in a report. */
const MAX_REPORTED = 20
const OTHERS = 'others'

type Mutable<Row> = { -readonly [Key in keyof Row]: Row[Key] }

const routes = new Map<string, Mutable<RouteQueries>>()
/** The same by method and route, so that a request needs no string concatenation. */
const routesByMethod = new Map<string, Map<string, Mutable<RouteQueries>>>()
const repeats = new Map<string, Mutable<RepeatReport>>()
const totals = { queries: 0, failed: 0, rows: 0, requestsOverLimit: 0 }
let isReporting = false

/** Starts reporting the queries of this process to the arbiter, if the process is a worker. */
export function reportQueries(): void {
  if (isReporting) return
  isReporting = true
  workerChannel()?.report(QUERIES_TOPIC, queriesReport, queriesMetrics)
}

/** Records the end of a query. */
export function recordQuery(of: Fingerprint, duration: number, rows: number, failed: boolean): void {
  const fingerprint = of.isKnown ? of : restoreFingerprint(of)
  if (failed) {
    totals.failed++
    fingerprint.failed++
    return
  }
  totals.queries++
  totals.rows += rows
  fingerprint.add(duration, rows)
}

/** Records the end of a request that ran queries. Returns the name of its route. */
export function recordRequest({ method, route, isPattern }: EndedRequest, queries: number, isOver: boolean): string {
  if (isOver) totals.requestsOverLimit++
  const entry = (isPattern ? routesByMethod.get(method)?.get(route) : undefined) ?? entryOf(method, route, isPattern)
  entry.requests++
  entry.queries += queries
  if (queries > entry.max) entry.max = queries
  return entry.route
}

function entryOf(method: string, route: string, isPattern: boolean): Mutable<RouteQueries> {
  const name = `${method} ${isPattern ? route : withoutIds(route)}`
  const key = routes.has(name) || routes.size < MAX_ROUTES ? name : OTHERS
  const entry = routes.get(key) ?? { route: key, requests: 0, queries: 0, max: 0 }
  routes.set(key, entry)
  if (!isPattern || key === OTHERS) return entry
  const ofMethod = routesByMethod.get(method) ?? new Map()
  routesByMethod.set(method, ofMethod.set(route, entry))
  return entry
}

/** Turns a path into a name for many paths: a segment with a digit is an id. */
function withoutIds(path: string): string {
  return path.replace(/\/[^/]*\d[^/]*/g, '/:id')
}

/** Records a repeat that was found in a request. */
export function recordRepeat(
  route: string,
  fingerprint: Fingerprint,
  { place, kind, count }: Pick<RepeatReport, 'place' | 'kind'> & { readonly count: number },
): void {
  const key = `${fingerprint.id} ${kind} ${place}`
  const known = repeats.get(key)
  if (known === undefined && repeats.size >= MAX_REPEATS) return
  const sql = formatSql(fingerprint.text)
  const entry = known ?? { place, fingerprint: fingerprint.id, sql, kind, route, requests: 0, queries: 0, max: 0 }
  repeats.set(key, entry)
  entry.route = route
  entry.requests++
  entry.queries += count
  entry.max = Math.max(entry.max, count)
}

function queriesReport(): QueriesReport {
  return {
    ...totals,
    routes: most(routes.values(), ({ queries }) => queries),
    repeats: most(repeats.values(), ({ queries }) => queries),
    slowest: most(knownFingerprints(), ({ totalMs }) => totalMs)
      .filter(({ count }) => count > 0)
      .map(reportOf),
  }
}

function reportOf({
  id,
  text,
  pool,
  count,
  failed,
  rows,
  totalMs,
  durations,
  explainable,
}: Fingerprint): FingerprintReport {
  return {
    fingerprint: id,
    sql: formatSql(text),
    pool,
    count,
    failed,
    rows,
    totalMs: hundredths(totalMs),
    p99Ms: hundredths(durations.quantile(0.99)),
    explainable,
  }
}

function most<Row>(rows: Iterable<Row>, by: (row: Row) => number): Row[] {
  return [...rows].sort((one, other) => by(other) - by(one)).slice(0, MAX_REPORTED)
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100
}
