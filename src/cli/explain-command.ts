import { Command } from 'commander'
import { printable } from '../diagnostics/format-log-line.ts'
import { type FingerprintReport, QUERIES_TOPIC, type QueriesReport } from '../diagnostics/modules/queries-report.ts'
import type { Status } from '../diagnostics/status.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { askArbiter } from './control-client.ts'
import { addStateDirFlag, limitFlag, readStateDir } from './control-client-options.ts'
import { explainPlan } from './explain-plan.ts'
import { printAndExit } from './print.ts'

interface Options {
  readonly slowest?: true
  readonly database: string
  readonly limit: Milliseconds
  readonly json?: true
  readonly stateDir?: string
}

/** A timer of the platform goes no further. */
const LONGEST_LIMIT = ms(10 * 60_000)

/** `punctual explain [query]`: the statements that took the most time, or how PostgreSQL would carry one out. It carries nothing out. */
export function explainCommand(): Command {
  const command = new Command('explain')
    .description('Show the slowest queries, or how PostgreSQL would carry one out')
    .argument('[query]', 'a query, as the log, punctual explain or /status name it')
    .option('--slowest', 'the one that took the most time in all')
    .option('--database <url>', 'URL of the database, or the environment variable that holds it', 'DATABASE_URL')
    .addOption(limitFlag('How long the database may take.', '10s'))
    .option('--json', 'as JSON')
  return addStateDirFlag(command).action(async (query: string | undefined, options: Options) => {
    const status = await askArbiter(await readStateDir(options), { command: 'status' }, { limit: ms(10_000) })
    const slowest = slowestQueries(status)
    if (query === undefined && !options.slowest) {
      return printAndExit(options.json ? toJson(slowest) : tellSlowest(slowest))
    }
    const found =
      query === undefined ? slowest.find(({ explainable }) => explainable !== null) : findQuery(slowest, query)
    if (found === undefined) {
      throw new UsageError('no query on PostgreSQL has been reported yet', { details: { problem: 'none-reported' } })
    }
    const { sql, explainable } = found
    if (explainable === null) {
      throw new UsageError(`"${printable(sql)}" cannot be explained: it is SQLite's, or too long to have been kept`, {
        details: { problem: 'not-explainable', query: found.fingerprint },
      })
    }
    const limit = ms(Math.min(options.limit, LONGEST_LIMIT))
    const plan = await explainPlan(explainable, databaseUrl(options.database), limit)
    if (options.json) return printAndExit(toJson({ query: found.fingerprint, sql: explainable, plan }))
    return printAndExit(`${printable(explainable)}\n\n${plan.map(printable).join('\n')}\n`)
  })
}

/** Over all workers; the most time first. */
function slowestQueries({ workers }: Status): readonly FingerprintReport[] {
  const merged = new Map<string, FingerprintReport>()
  for (const { modules } of workers) {
    for (const one of (modules[QUERIES_TOPIC] as QueriesReport | undefined)?.slowest ?? []) {
      const other = merged.get(one.fingerprint)
      merged.set(one.fingerprint, other === undefined ? one : added(one, other))
    }
  }
  return [...merged.values()].sort((one, other) => other.totalMs - one.totalMs)
}

function added(one: FingerprintReport, other: FingerprintReport): FingerprintReport {
  return {
    ...one,
    count: one.count + other.count,
    failed: one.failed + other.failed,
    rows: one.rows + other.rows,
    totalMs: one.totalMs + other.totalMs,
    p99Ms: Math.max(one.p99Ms, other.p99Ms),
  }
}

function findQuery(queries: readonly FingerprintReport[], wanted: string): FingerprintReport {
  const found = queries.filter(({ fingerprint }) => fingerprint.startsWith(wanted.toLowerCase()))
  const [query] = found
  if (query !== undefined && found.length === 1) return query
  const known = 'punctual explain lists those that took the most time'
  const details = { query: wanted, found: found.length }
  if (found.length > 1) {
    const message = `${found.length} queries begin with ${printable(wanted)}; ${known}`
    throw new UsageError(message, { details: { problem: 'ambiguous-query', ...details } })
  }
  throw new UsageError(`there is no query ${printable(wanted)} among those that are reported; ${known}`, {
    details: { problem: 'unknown-query', ...details },
  })
}

const COLUMNS: readonly (Column & { cell(query: FingerprintReport): string })[] = [
  { heading: 'QUERY', align: 'left', cell: ({ fingerprint }) => fingerprint },
  { heading: 'COUNT', align: 'right', cell: ({ count }) => String(count) },
  { heading: 'TOTAL', align: 'right', cell: ({ totalMs }) => formatElapsed(totalMs) },
  { heading: 'P99', align: 'right', cell: ({ p99Ms }) => formatElapsed(p99Ms) },
  { heading: 'ROWS', align: 'right', cell: ({ rows }) => String(rows) },
  { heading: 'POOL', align: 'left', cell: ({ pool }) => printable(pool) },
  { heading: 'STATEMENT', align: 'left', cell: ({ sql }) => printable(sql) },
]

function tellSlowest(queries: readonly FingerprintReport[]): string {
  if (queries.length === 0) return 'no queries have been reported\n'
  return textTable(
    COLUMNS,
    queries.map((query) => COLUMNS.map((column) => column.cell(query))),
  )
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function databaseUrl(named: string): string {
  if (named.includes('://')) return named
  const url = process.env[named]
  if (url !== undefined && url !== '') return url
  throw new UsageError(
    `there is no variable ${printable(named)} in the environment; name the database with --database postgres://… or --database VARIABLE`,
    { details: { problem: 'no-variable', variable: named } },
  )
}
