import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import { ms } from '../../../../src/resilience/duration.ts'
import { lockFile } from '../../outside/file-lock.ts'
import { withQueryTimeout } from '../../punctual.ts'
import { release } from '../release.ts'
import { SEED_USERS } from '../seed.ts'
import { openSqliteDatabase } from './open-sqlite-database.ts'

let directory: string
let path: string
let url: string

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'incidents-release-'))
  path = join(directory, 'not/there/yet/login.db')
  url = `sqlite:${path}`
})
after(() => rmSync(directory, { recursive: true, force: true }))

test('of three concurrent releases, one migrates, one seeds, and the others find it done; the file and its directory are created', async () => {
  const reports = await Promise.all([release(url), release(url), release(url)])
  const migrated = reports.filter(({ migrations }) => migrations.length > 0)
  assert.deepEqual(
    migrated.map(({ migrations }) => migrations),
    [['0001-users-and-sessions', '0002-security-events-and-user-activity', '0003-audit-ids']],
  )
  assert.deepEqual(reports.map(({ seeded }) => seeded).sort(), [0, 0, SEED_USERS.length])
  for (const { database } of reports) assert.match(database, /^SQLite 3\.\d+/)
})

test('a release that runs again changes nothing', async () => {
  const users = async () => {
    const db = openSqliteDatabase('release', path)
    try {
      return await db.selectFrom('users').selectAll().orderBy('id').execute()
    } finally {
      await db.destroy()
    }
  }
  const had = await users()
  const { migrations, seeded } = await release(url)
  assert.deepEqual([migrations, seeded], [[], 0])
  assert.deepEqual(await users(), had)
})

test('a migration that fails leaves nothing, and is named', async () => {
  const taken = join(directory, 'taken.db')
  const db = openSqliteDatabase('release', taken)
  try {
    await sql`create table user_activity (id integer)`.execute(db)
    await assert.rejects(release(`sqlite:${taken}`), {
      code: 'MIGRATION_FAILED',
      details: { migration: '0002-security-events-and-user-activity' },
    })
    const { rows } = await sql<{
      name: string
    }>`select name from sqlite_schema where name in ('users', 'sessions')`.execute(db)
    assert.deepEqual(rows, [])
  } finally {
    await db.destroy()
  }
})

test('a locked file blocks writes and allows reads until it is released', async () => {
  const db = openSqliteDatabase('release', path)
  const touch = () =>
    withQueryTimeout('touch', '300ms', () => db.updateTable('users').set({ last_login_at: null }).execute())
  try {
    await db.selectFrom('users').select('id').execute()
    const lock = await lockFile(path, 'users', ms(60_000))
    assert.ok(lock.left > 0)
    await assert.rejects(touch(), { code: 'PUNCTUAL_WAIT_TIMEOUT' })
    assert.equal((await db.selectFrom('users').select('id').execute()).length, SEED_USERS.length)
    await lock.release()
    assert.equal(lock.left, 0)
    await db.updateTable('users').set({ last_login_at: null }).execute()
    await assert.rejects(lockFile(path, 'nothing', ms(1_000)), { code: 'TABLE_UNKNOWN', details: { table: 'nothing' } })
  } finally {
    await db.destroy()
  }
})
