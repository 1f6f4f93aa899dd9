import { Command } from 'commander'
import type { Status } from '../diagnostics/status.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { type FingerprintReport, QUERIES_TOPIC, type QueriesReport } from '../query-insight/queries-report.ts'
import { printable } from '../redaction/printable.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { addStateDirFlag, askArbiter, readStateDir, timeoutFlag } from './control-client.ts'
import { explainPlan } from './explain-plan.ts'
import { formatJson, printAndExit } from './print.ts'

interface Options {
  readonly slowest?: true
  readonly database: string
  readonly timeout: Milliseconds
  readonly json?: true
  readonly stateDir?: string
}

/** A statement timeout needs a finite value. */
const MAX_TIMEOUT = ms(10 * 60_000)

/** `punctual explain [query]`: the slowest queries, or the plan of one. It executes nothing. */
export function explainCommand(): Command {
  const command = new Command('explain')
    .description('print the slowest queries, or the PostgreSQL plan of one')
    .argument('[query]', 'id of a query, from the log, punctual explain or /status')
    .option('--slowest', 'explain the query with the largest total time')
    .option('--database <url>', 'URL of the database, or the environment variable that contains it', 'DATABASE_URL')
    .addOption(timeoutFlag('Maximum time of the database.', '10s'))
    .option('--json', 'print JSON')
  return addStateDirFlag(command).action(async (query: string | undefined, options: Options) => {
    const status = await askArbiter(await readStateDir(options), { command: 'status' }, { timeout: ms(10_000) })
    const slowest = slowestQueries(status)
    if (query === undefined && !options.slowest) {
      return printAndExit(options.json ? formatJson(slowest) : formatSlowest(slowest))
    }
    const found =
      query === undefined ? slowest.find(({ explainable }) => explainable !== null) : findQuery(slowest, query)
    if (found === undefined) {
      throw new UsageError('no PostgreSQL query has been reported yet', { details: { reason: 'none-reported' } })
    }
    const { sql, explainable } = found
    if (explainable === null) {
      throw new UsageError(
        `"${printable(sql)}" cannot be explained: it ran on SQLite, or its text is too long to be stored`,
        {
          details: { reason: 'not-explainable', query: found.fingerprint },
        },
      )
    }
    const timeout = ms(Math.min(options.timeout, MAX_TIMEOUT))
    const plan = await explainPlan(explainable, databaseUrl(options.database), timeout)
    if (options.json) return printAndExit(formatJson({ query: found.fingerprint, sql: explainable, plan }))
    return printAndExit(`${printable(explainable)}\n\n${plan.map(printable).join('\n')}\n`)
  })
}

/** Merged over all workers, the largest total time first. */
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
  const known = 'punctual explain lists the slowest queries'
  const details = { query: wanted, found: found.length }
  if (found.length > 1) {
    const message = `${found.length} queries begin with ${printable(wanted)}; ${known}`
    throw new UsageError(message, { details: { reason: 'ambiguous-query', ...details } })
  }
  throw new UsageError(`no reported query begins with ${printable(wanted)}; ${known}`, {
    details: { reason: 'unknown-query', ...details },
  })
}

const COLUMNS: readonly (Column & { cell(query: FingerprintReport): string })[] = [
  { heading: 'QUERY', align: 'left', cell: ({ fingerprint }) => fingerprint },
  { heading: 'COUNT', align: 'right', cell: ({ count }) => String(count) },
  { heading: 'TOTAL', align: 'right', cell: ({ totalMs }) => formatElapsed(totalMs) },
  { heading: 'P99', align: 'right', cell: ({ p99Ms }) => formatElapsed(p99Ms) },
  { heading: 'ROWS', align: 'right', cell: ({ rows }) => String(rows) },
  { heading: 'POOL', align: 'left', cell: ({ pool }) => pool },
  { heading: 'STATEMENT', align: 'left', cell: ({ sql }) => sql },
]

function formatSlowest(queries: readonly FingerprintReport[]): string {
  if (queries.length === 0) return 'no queries have been reported\n'
  return textTable(
    COLUMNS,
    queries.map((query) => COLUMNS.map((column) => column.cell(query))),
  )
}

function databaseUrl(named: string): string {
  if (named.includes('://')) return named
  const url = process.env[named]
  if (url !== undefined && url !== '') return url
  throw new UsageError(
    `the environment has no variable ${printable(named)}; use --database postgres://… or --database VARIABLE`,
    { details: { reason: 'no-variable', variable: named } },
  )
}
