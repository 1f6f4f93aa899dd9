import {
  type FingerprintReport,
  QUERIES_TOPIC,
  type QueriesReport,
  type RepeatReport,
  type RouteQueries,
} from '../diagnostics/modules/queries-report.ts'
import type { EndedRequest } from '../diagnostics/request-queries.ts'
import { workerChannel } from '../ipc/worker-channel.ts'
import type { Fingerprint } from './fingerprint.ts'
import { knownFingerprints, knownInstead } from './known-fingerprints.ts'
import { tellSql } from './normalise-sql.ts'

const MOST_ROUTES = 200
const MOST_REPEATS = 200
/** Of each kind, in a report. */
const REPORTED = 20
const OTHERS = 'others'

type Counted<Row> = { -readonly [Key in keyof Row]: Row[Key] }

const routes = new Map<string, Counted<RouteQueries>>()
/** The same by method and route, so that no name is put together for each request. */
const byMethod = new Map<string, Map<string, Counted<RouteQueries>>>()
const repeats = new Map<string, Counted<RepeatReport>>()
const totals = { queries: 0, failed: 0, rows: 0, overBudget: 0 }
let reported = false

/** Reports the queries of this process from now on, if it is a worker. */
export function reportQueries(): void {
  if (reported) return
  reported = true
  workerChannel()?.report(QUERIES_TOPIC, queriesReport)
}

/** A query has ended. */
export function bookQuery(asked: Fingerprint, duration: number, rows: number, failed: boolean): void {
  const fingerprint = asked.isKnown ? asked : knownInstead(asked)
  if (failed) {
    totals.failed++
    fingerprint.failed++
    return
  }
  totals.queries++
  totals.rows += rows
  fingerprint.add(duration, rows)
}

/** A request has ended that asked a database. Returns what its route is called. */
export function bookRequest({ method, route, isPattern }: EndedRequest, queries: number, overBudget: boolean): string {
  if (overBudget) totals.overBudget++
  const entry = (isPattern ? byMethod.get(method)?.get(route) : undefined) ?? entryOf(method, route, isPattern)
  entry.requests++
  entry.queries += queries
  if (queries > entry.max) entry.max = queries
  return entry.route
}

function entryOf(method: string, route: string, isPattern: boolean): Counted<RouteQueries> {
  const name = `${method} ${isPattern ? route : withoutIds(route)}`
  const key = routes.has(name) || routes.size < MOST_ROUTES ? name : OTHERS
  const entry = routes.get(key) ?? { route: key, requests: 0, queries: 0, max: 0 }
  routes.set(key, entry)
  if (!isPattern || key === OTHERS) return entry
  const ofMethod = byMethod.get(method) ?? new Map()
  byMethod.set(method, ofMethod.set(route, entry))
  return entry
}

/** A path as a name for many: parts that hold a number are ids. */
function withoutIds(path: string): string {
  return path.replace(/\/[^/]*\d[^/]*/g, '/:id')
}

/** A repeat was found in a request. */
export function bookRepeat(
  route: string,
  fingerprint: Fingerprint,
  { place, kind, count }: Pick<RepeatReport, 'place' | 'kind'> & { readonly count: number },
): void {
  const key = `${fingerprint.id} ${kind} ${place}`
  const known = repeats.get(key)
  if (known === undefined && repeats.size >= MOST_REPEATS) return
  const sql = tellSql(fingerprint.text)
  const entry = known ?? { place, fingerprint: fingerprint.id, sql, kind, route, requests: 0, queries: 0, max: 0 }
  repeats.set(key, entry)
  entry.route = route
  entry.requests++
  entry.queries += count
  entry.max = Math.max(entry.max, count)
}

/** What this process's queries have come to. */
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
    sql: tellSql(text),
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
  return [...rows].sort((one, other) => by(other) - by(one)).slice(0, REPORTED)
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100
}
