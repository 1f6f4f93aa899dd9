import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { whyForeign } from '../system/file-owner.ts'

/** The part of the app's `pg` that is used. */
interface Client {
  readonly connection: { readonly stream: { destroy(): void } }
  connect(): Promise<unknown>
  query(text: string): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>
  end(): Promise<void>
  on(event: 'error', listener: () => void): unknown
}
interface Pg {
  readonly Client: new (options: object) => Client
}

/** The first version of PostgreSQL with `EXPLAIN (GENERIC_PLAN)`, for unknown parameters. */
const GENERIC_PLAN = 160_000
/** Quoted names may contain a semicolon; values are parameters. */
const NAMES = /"(?:[^"]|"")*"/g

/**
 * The plan of a statement, as lines: a plain `EXPLAIN` in a read-only transaction, which does not
 * execute it.
 *
 * @param timeout of everything, connecting included
 * @throws UsageError if the app has no `pg`, the URL is invalid, or the server is too old
 * @throws PunctualError with `PUNCTUAL_COMMAND_REFUSED` if the database cannot be reached or
 * refuses, with `PUNCTUAL_COMMAND_TIMED_OUT` after the timeout
 */
export async function explainPlan(sql: string, url: string, timeout: Milliseconds): Promise<readonly string[]> {
  // Only the first of several statements would be explained; the others would be executed.
  if (sql.replace(NAMES, '').includes(';')) {
    const message = 'the query has several statements; EXPLAIN takes one'
    throw new UsageError(message, { details: { reason: 'several-statements' } })
  }
  const { Client } = await loadPg()
  const client = createClient(Client, url, timeout)
  client.on('error', () => {})
  try {
    return await withTimeout('explain', timeout, () => explain(client, sql, timeout), { parent: null })
  } catch (error) {
    throw asPunctualError(error, timeout)
  } finally {
    client.connection.stream.destroy()
  }
}

/** Parses the URL and reads the certificates that it names. */
function createClient(Client: Pg['Client'], url: string, timeout: Milliseconds): Client {
  try {
    return new Client({
      connectionString: url,
      connectionTimeoutMillis: timeout,
      application_name: 'punctual explain',
    })
  } catch (error) {
    throw new UsageError(
      `invalid database URL: ${(error as Error).message}; use postgres://user:password@host:5432/database`,
      { cause: error, details: { reason: 'database-url' } },
    )
  }
}

async function explain(client: Client, sql: string, timeout: Milliseconds): Promise<readonly string[]> {
  await client.connect()
  const { rows } = await client.query('show server_version_num')
  const version = Number(rows[0]?.server_version_num)
  const hasParameters = /\$\d/.test(sql)
  if (hasParameters && version < GENERIC_PLAN) {
    throw new UsageError(
      `PostgreSQL ${Math.floor(version / 10_000)} cannot explain a statement without its parameters, version 16 can; explain it by hand with values of your choice:\n${sql}`,
      { details: { reason: 'server-too-old', version: Math.floor(version / 10_000) } },
    )
  }
  await client.query('begin read only')
  await client.query(`set local statement_timeout = ${Math.ceil(timeout)}`)
  await client.query(`set local lock_timeout = ${Math.ceil(timeout)}`)
  const plan = await client.query(`explain ${hasParameters ? '(generic_plan) ' : ''}${sql}`)
  await client.query('rollback')
  await client.end()
  return plan.rows.map((row) => String(row['QUERY PLAN']))
}

async function loadPg(): Promise<Pg> {
  try {
    const path = createRequire(join(process.cwd(), 'package.json')).resolve('pg')
    const why = whyForeign(path)
    if (why !== null) {
      throw new UsageError(`${path} ${why} and is not loaded; run this command as the user of the app`, {
        details: { reason: 'pg-foreign', path },
      })
    }
    const module: { default?: Pg } & Partial<Pg> = await import(pathToFileURL(path).href)
    return module.default ?? (module as Pg)
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`pg is not installed in ${process.cwd()}; run this command in the directory of the app`, {
      cause: error,
      details: { reason: 'no-pg', directory: process.cwd() },
    })
  }
}

function asPunctualError(error: unknown, timeout: Milliseconds): PunctualError {
  if (error instanceof UsageError) return error
  if (error instanceof PunctualError) {
    return new PunctualError(
      'PUNCTUAL_COMMAND_TIMED_OUT',
      `the database did not answer within ${formatElapsed(timeout)}`,
      {
        cause: error,
      },
    )
  }
  const { message, severity } = error as { readonly message?: unknown; readonly severity?: unknown }
  const text =
    severity === undefined
      ? `cannot connect to the database: ${message}`
      : `PostgreSQL refused to explain the query: ${message}`
  const reason = severity === undefined ? 'unreachable' : 'refused-by-database'
  return new PunctualError('PUNCTUAL_COMMAND_REFUSED', text, { cause: error, details: { reason } })
}
