import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Generated, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { until, within } from '../../test/process/support/until.ts'
import { QueryTimeoutError } from '../database/query-errors.ts'
import { withQueryTimeout } from '../database/query-timeout.ts'
import { openSqlite, type SqliteDatabase, sqliteHealth } from './sqlite-database.ts'
import { sqliteDialect } from './sqlite-dialect.ts'
import { SqliteError } from './sqlite-errors.ts'

interface Tables {
  users: { id: Generated<number>; email: string; visits: Generated<number> }
}

function open(t: TestContext): { db: Kysely<Tables>; sqlite: SqliteDatabase } {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-sqlite-'))
  const sqlite = openSqlite('test', join(directory, 'test.db'), { onEvent: () => {} })
  const dialect = sqliteDialect(sqlite, { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler })
  const db = new Kysely<Tables>({ dialect })
  t.after(async () => {
    await within('Kysely to end', db.destroy())
    await sqlite.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return { db, sqlite }
}

async function createUsers(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable('users')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('email', 'text', (column) => column.notNull().unique())
    .addColumn('visits', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
}

test('Kysely reads, writes, returns rows and counts changes', async (t) => {
  const { db } = open(t)
  await createUsers(db)
  const inserted = await db.insertInto('users').values({ email: 'a@x' }).executeTakeFirstOrThrow()
  assert.equal(inserted.insertId, 1n)
  const returned = await db.insertInto('users').values({ email: 'b@x' }).returning('id').executeTakeFirstOrThrow()
  assert.equal(returned.id, 2)
  const updated = await db.updateTable('users').set({ visits: 3 }).executeTakeFirstOrThrow()
  assert.equal(updated.numUpdatedRows, 2n)
  const rows = await db.selectFrom('users').selectAll().where('email', 'in', ['a@x', 'b@x']).orderBy('id').execute()
  assert.deepEqual(rows, [
    { id: 1, email: 'a@x', visits: 3 },
    { id: 2, email: 'b@x', visits: 3 },
  ])
  const streamed: unknown[] = []
  for await (const row of db.selectFrom('users').select('id').orderBy('id').stream(1)) streamed.push(row)
  assert.deepEqual(streamed, [{ id: 1 }, { id: 2 }])
  const [table] = await db.introspection.getTables()
  assert.deepEqual(
    table?.columns.map(({ name }) => name),
    ['id', 'email', 'visits'],
  )
})

test("Kysely's transactions commit, roll back, and support savepoints", async (t) => {
  const { db } = open(t)
  await createUsers(db)
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('users').values({ email: 'a@x' }).execute()
    assert.equal((await db.selectFrom('users').selectAll().execute()).length, 0)
  })
  await assert.rejects(
    db.transaction().execute(async (trx) => {
      await trx.insertInto('users').values({ email: 'b@x' }).execute()
      await trx.insertInto('users').values({ email: 'a@x' }).execute()
    }),
    SqliteError,
  )
  const trx = await db.startTransaction().execute()
  await trx.insertInto('users').values({ email: 'c@x' }).execute()
  const marked = await trx.savepoint('place').execute()
  await marked.insertInto('users').values({ email: 'd@x' }).execute()
  await marked.rollbackToSavepoint('place').execute()
  await trx.commit().execute()
  const emails = await db.selectFrom('users').select('email').orderBy('id').execute()
  assert.deepEqual(
    emails.map(({ email }) => email),
    ['a@x', 'c@x'],
  )
})

test('a query of Kysely has the timeout of the database, and is cancelled by its signal', async (t) => {
  const { db, sqlite } = open(t)
  const endless = sql<{ n: number }>`with recursive c(n) as (select 1 union all select n + 1 from c) select n from c`
  await assert.rejects(
    withQueryTimeout('report', '100ms', () => endless.execute(db)),
    QueryTimeoutError,
  )
  const controller = new AbortController()
  const { signal } = controller
  const aborted = endless.execute(db, { signal, inflightQueryAbortStrategy: 'cancel query' })
  await until('the query to run', () => sqliteHealth(sqlite).readers.busy === 1)
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(aborted, (error) => error === reason)
  await until('the reader to be free', () => sqliteHealth(sqlite).readers.busy === 0)
  assert.equal(sqliteHealth(sqlite).counts.replaced, 0)
})

test('a transaction of Kysely that times out is rolled back and releases the writer', async (t) => {
  const { db } = open(t)
  await createUsers(db)
  await assert.rejects(
    withQueryTimeout('sign-up', '150ms', () =>
      db.transaction().execute(async (trx) => {
        await trx.insertInto('users').values({ email: 'a@x' }).execute()
        await until(
          'the next query to be rejected',
          async () => {
            await trx.selectFrom('users').selectAll().execute()
            return false
          },
          300,
        )
      }),
    ),
  )
  await db.insertInto('users').values({ email: 'b@x' }).execute()
  assert.deepEqual(await db.selectFrom('users').select('email').execute(), [{ email: 'b@x' }])
})

test('a failed migration is rolled back completely', async (t) => {
  const { db } = open(t)
  const migrations: Record<string, Migration> = {
    '1': { up: (schema) => createUsers(schema) },
    '2': {
      up: async (schema) => {
        await schema.schema.createTable('half').addColumn('n', 'integer').execute()
        await sql`select nothing from nowhere`.execute(schema)
      },
    },
  }
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  assert.ok((await migrator.migrateToLatest()).error instanceof SqliteError)
  delete migrations['2']
  assert.equal((await migrator.migrateToLatest()).error, undefined)
  const tables = await db.introspection.getTables()
  assert.deepEqual(
    tables.map(({ name }) => name),
    ['users'],
  )
})
