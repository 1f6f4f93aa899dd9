import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../..')
const INDEX = join(ROOT, 'src/index.ts')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

/** The rows of each page. */
export const ROWS = 10

const DATABASE = `
import { Kysely, PostgresDialect, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import pg from 'pg'
import { currentRequest } from '${INDEX}'
import { allowRepeatedQueries, guardPool } from '${INDEX.replace('index.ts', 'postgres/index.ts')}'
import { openSqlite, sqliteDialect } from '${INDEX.replace('index.ts', 'sqlite/index.ts')}'
export { currentRequest, allowRepeatedQueries }
export const pool = guardPool('main', new pg.Pool({ ...JSON.parse(process.env.DATABASE), max: 5 }))
export const db = new Kysely({ dialect: new PostgresDialect({ pool }) })
export const lite = openSqlite('lite', process.env.SQLITE_FILE)
export const liteDb = new Kysely({ dialect: sqliteDialect(lite, { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler }) })
export const ready = lite.exec('create table if not exists tests (id integer primary key, referral_id integer, status text)')
`

const HELPERS = `
interface Test {
  readonly id: number
}

// @ts-ignore
import { db, pool } from '../database.mjs'

export async function ask<Row>(text: string, values: readonly unknown[]): Promise<Row[]> {
  const { rows } = await pool.query(text, values)
  return rows
}

export async function testsOf(referral: number): Promise<Test[]> {
  return ask('select id, referral_id, status from tests where referral_id = $1', [referral])
}

export async function testsOnOneConnection(referral: number): Promise<Test[]> {
  const client = await pool.connect()
  try {
    const { rows } = await client.query('select id, status from tests where referral_id = $1', [referral])
    return rows
  } finally {
    client.release()
  }
}

export async function findTests(referral: number): Promise<Test[]> {
  return db.selectFrom('tests').selectAll().where('referral_id', '=', referral).execute()
}
`

const SHAPES = `
interface Referral {
  readonly id: number
  tests?: unknown
}

// @ts-ignore
import { db, lite, liteDb, pool } from '../database.mjs'
import { findTests, testsOf, testsOnOneConnection } from './helpers.ts'

type Load = () => Promise<unknown>

async function page(): Promise<Referral[]> {
  const { rows } = await pool.query('select n as id from generate_series(1, ${ROWS}) as n')
  return rows
}

async function loop(): Promise<unknown> {
  const referrals = await page()
  for (const referral of referrals) {
    const { rows } = await pool.query('select * from tests where referral_id = $1', [referral.id]) // MARK loop
    referral.tests = rows
  }
  return referrals
}

async function all(): Promise<unknown> {
  const referrals = await page()
  return Promise.all(
    referrals.map(async (referral) => {
      const { rows } = await pool.query('select * from tests where referral_id = $1', [referral.id]) // MARK all
      return { ...referral, tests: rows }
    }),
  )
}

async function helper(): Promise<unknown> {
  const referrals = await page()
  for (const referral of referrals) {
    referral.tests = await testsOf(referral.id) // MARK helper
  }
  return referrals
}

async function mapped(): Promise<unknown> {
  const referrals = await page()
  return Promise.all(referrals.map((referral) => testsOf(referral.id))) // MARK mapped
}

async function connecting(): Promise<unknown> {
  for (const referral of await page()) await testsOnOneConnection(referral.id) // MARK connecting
  return []
}

async function kysely(): Promise<unknown> {
  for (const referral of await page()) {
    referral.tests = await db // MARK kysely
      .selectFrom('tests')
      .select(['id', 'status'])
      .where('referral_id', '=', referral.id)
      .execute()
  }
  return []
}

async function repository(): Promise<unknown> {
  const referrals = await page()
  return Promise.all(referrals.map(async (referral) => ({ ...referral, tests: await findTests(referral.id) }))) // MARK repository
}

class ReferralList {
  readonly #rows: Referral[]

  constructor(rows: Referral[]) {
    this.#rows = rows
  }

  async load(): Promise<Referral[]> {
    for (const referral of this.#rows) {
      await this.#loadTests(referral) // MARK method
    }
    return this.#rows
  }

  async #loadTests(referral: Referral): Promise<void> {
    const { rows } = await pool.query('select status from tests where referral_id = $1', [referral.id])
    referral.tests = rows
  }
}

async function method(): Promise<unknown> {
  return new ReferralList(await page()).load()
}

async function inserts(): Promise<unknown> {
  for (const { id } of await page()) {
    await pool.query('insert into tests (referral_id, status) values ($1, $2)', [id, 'new']) // MARK inserts
  }
  return []
}

async function sqlite(): Promise<unknown> {
  for (const { id } of await page()) {
    await lite.all('select * from tests where referral_id = ?', [id]) // MARK sqlite
  }
  return []
}

async function sqliteKysely(): Promise<unknown> {
  for (const { id } of await page()) {
    await liteDb.selectFrom('tests').selectAll().where('referral_id', '=', id).execute() // MARK sqliteKysely
  }
  return []
}

export const shapes: Record<string, Load> = {
  loop,
  all,
  helper,
  mapped,
  connecting,
  kysely,
  repository,
  method,
  inserts,
  sqlite,
  sqliteKysely,
}
`

const APP = `
import http from 'node:http'
// @ts-ignore
import { ready } from '../database.mjs'
import { shapes } from './shapes.ts'

await ready
http
  .createServer(async (request, response) => {
    const shape = shapes[(request.url ?? '').slice(1)]
    try {
      response.end(JSON.stringify(await shape?.()))
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
  .listen(Number(process.env.PORT), process.env.HOST)
`

/**
 * An app whose routes query once per row, each in its own way. \`MARK name\` marks the line to
 * report.
 */
export const files: Readonly<Record<string, string>> = {
  'src/app.ts': APP,
  'src/shapes.ts': SHAPES,
  'src/helpers.ts': HELPERS,
  'database.mjs': DATABASE,
}

/** The line to report for each shape. */
export function marks(): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const [index, line] of SHAPES.split('\n').entries()) {
    const name = /\/\/ MARK (\w+)$/.exec(line)?.[1]
    if (name !== undefined) found.set(name, index + 1)
  }
  return found
}

/** Compiles `src` to `dist`, with source maps. */
export function compile(directory: string): void {
  const flags =
    '--noCheck --ignoreConfig --module nodenext --target es2023 --sourceMap --rewriteRelativeImportExtensions'
  const args = [TSC, ...flags.split(' '), '--rootDir', 'src', '--outDir', 'dist', 'src/app.ts']
  execFileSync(process.execPath, args, { cwd: directory, stdio: 'pipe' })
}
