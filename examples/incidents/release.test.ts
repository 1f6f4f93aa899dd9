import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { openDatabase, openPool } from './database/pool.ts'
import { release } from './database/release.ts'
import { SEED_PASSWORD, SEED_USERS } from './database/seed.ts'
import { SEED_AUTH_USERS } from './database/seed-auth.ts'
import { verifyPassword } from './login/password.ts'
import type { TestDatabase } from './testing/database.ts'
import { makeTestDatabase } from './testing/database.ts'

let database: TestDatabase
let pool: pg.Pool

before(async () => {
  database = await makeTestDatabase()
  pool = openPool({ url: database.url, max: 2 })
})
after(async () => {
  await pool?.end()
  await database?.remove()
})

test('of three releases at once, one migrates and seeds and the others find it done', async () => {
  const reports = await Promise.all([release(database.url), release(database.url), release(database.url)])
  const migrated = reports.filter(({ migrations }) => migrations.length > 0)
  assert.equal(migrated.length, 1)
  assert.deepEqual(migrated[0]?.migrations, [
    '0001-users-and-sessions',
    '0002-security-events-and-user-activity',
    '0003-auth',
    '0004-clinic-referrals',
  ])
  assert.deepEqual(reports.map(({ seeded }) => seeded).sort(), [0, 0, SEED_USERS.length + SEED_AUTH_USERS])
})

test('a release that runs again changes nothing', async () => {
  const users = () => openDatabase(pool).selectFrom('users').selectAll().orderBy('id').execute()
  const before = await users()
  const report = await release(database.url)
  assert.deepEqual([report.migrations, report.seeded], [[], 0])
  assert.deepEqual(await users(), before)
})

test('a seeded user that is missing comes back, with the same hash', async () => {
  const grace = () =>
    openDatabase(pool).selectFrom('users').selectAll().where('username', '=', 'grace').executeTakeFirst()
  const before = await grace()
  await pool.query(`delete from users where username = 'grace'`)
  assert.equal((await release(database.url)).seeded, 1)
  const now = await grace()
  assert.equal(now?.password_hash, before?.password_hash)
  assert.ok(await verifyPassword(SEED_PASSWORD, now?.password_hash))
})

test('a release waits for the one that holds the lock', async () => {
  const client = await pool.connect()
  try {
    await client.query('select pg_advisory_lock(7597118925727690356)')
    let done = false
    const waiting = release(database.url).finally(() => {
      done = true
    })
    for (let waits = 0; waits === 0; ) {
      const { rows } = await client.query<{ waits: number }>(
        `select count(*)::int as waits from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`,
      )
      waits = rows[0]?.waits ?? 0
    }
    assert.equal(done, false)
    await client.query('select pg_advisory_unlock(7597118925727690356)')
    await waiting
  } finally {
    client.release(true)
  }
})
