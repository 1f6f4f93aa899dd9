import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import { formatElapsed, type Milliseconds } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'

/** What is used of `pg`, which is the app's own. */
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

/** From this version on PostgreSQL plans a statement whose parameters it does not know (`EXPLAIN (GENERIC_PLAN)`). */
const GENERIC_PLAN = 160_000
/** What may hold a semicolon that ends nothing. Values are parameters by now. */
const NAMES = /"(?:[^"]|"")*"/g

/**
 * What PostgreSQL would do for a statement, without doing it: a plain `EXPLAIN`, in a transaction that can only read.
 *
 * @param limit for all of it, connecting included
 * @returns the plan, line by line
 * @throws {UsageError} where the app has no `pg`, the URL is none, or the server is too old
 * @throws {PunctualError} `PUNCTUAL_COMMAND_REFUSED` where the database cannot be reached, or does not explain it; `PUNCTUAL_COMMAND_TIMED_OUT` at the limit
 */
export async function explainPlan(sql: string, url: string, limit: Milliseconds): Promise<readonly string[]> {
  // Two statements in one text would not both be explained: the second would be carried out.
  if (sql.replace(NAMES, '').includes(';')) {
    const message = 'what was asked is several statements in one; EXPLAIN takes one'
    throw new UsageError(message, { details: { problem: 'several-statements' } })
  }
  const { Client } = await loadPg()
  const client = clientFor(Client, url, limit)
  client.on('error', () => {})
  try {
    return await withTimeout('explain', limit, () => explain(client, sql, limit), { parent: null })
  } catch (error) {
    throw explained(error, limit)
  } finally {
    client.connection.stream.destroy()
  }
}

/** It reads the URL, and the certificates that this names. */
function clientFor(Client: Pg['Client'], url: string, limit: Milliseconds): Client {
  try {
    return new Client({
      connectionString: url,
      connectionTimeoutMillis: limit,
      application_name: 'punctual explain',
    })
  } catch (error) {
    throw new UsageError(
      `the URL of the database cannot be used: ${(error as Error).message}; it looks like postgres://user:password@host:5432/database`,
      { cause: error, details: { problem: 'database-url' } },
    )
  }
}

async function explain(client: Client, sql: string, limit: Milliseconds): Promise<readonly string[]> {
  await client.connect()
  const { rows } = await client.query('show server_version_num')
  const version = Number(rows[0]?.server_version_num)
  const hasParameters = /\$\d/.test(sql)
  if (hasParameters && version < GENERIC_PLAN) {
    throw new UsageError(
      `it has parameters, whose values nobody has kept: PostgreSQL explains such a statement from version 16 on, and this one is ${Math.floor(version / 10_000)}; explain it by hand, with values of your choice:\n${sql}`,
      { details: { problem: 'server-too-old', version: Math.floor(version / 10_000) } },
    )
  }
  await client.query('begin read only')
  await client.query(`set local statement_timeout = ${Math.ceil(limit)}`)
  await client.query(`set local lock_timeout = ${Math.ceil(limit)}`)
  const plan = await client.query(`explain ${hasParameters ? '(generic_plan) ' : ''}${sql}`)
  await client.query('rollback')
  await client.end()
  return plan.rows.map((row) => String(row['QUERY PLAN']))
}

async function loadPg(): Promise<Pg> {
  try {
    const path = createRequire(join(process.cwd(), 'package.json')).resolve('pg')
    const module: { default?: Pg } & Partial<Pg> = await import(pathToFileURL(path).href)
    return module.default ?? (module as Pg)
  } catch (error) {
    throw new UsageError(`pg is not installed in ${process.cwd()}; run this where the app is, whose pg it uses`, {
      cause: error,
      details: { problem: 'no-pg', directory: process.cwd() },
    })
  }
}

function explained(error: unknown, limit: Milliseconds): PunctualError {
  if (error instanceof UsageError) return error
  if (error instanceof PunctualError) {
    return new PunctualError(
      'PUNCTUAL_COMMAND_TIMED_OUT',
      `the database has not answered within ${formatElapsed(limit)}`,
      {
        cause: error,
      },
    )
  }
  const { message, severity } = error as { readonly message?: unknown; readonly severity?: unknown }
  const said =
    severity === undefined ? `the database cannot be asked: ${message}` : `PostgreSQL does not explain it: ${message}`
  const problem = severity === undefined ? 'unreachable' : 'refused-by-database'
  return new PunctualError('PUNCTUAL_COMMAND_REFUSED', said, { cause: error, details: { problem } })
}
