import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type pg from 'pg'
import { openDatabase, openPool } from './database/pool.ts'
import { release } from './database/release.ts'
import { formatMigrations, formatSeed } from './database/release-report.ts'
import { SEED_PASSWORD, SEED_USERS } from './database/seed.ts'
import { SEED_AUTH_USERS, seedAuthUsers } from './database/seed-auth.ts'
import { verifyPassword } from './login/password.ts'
import type { TestDatabase } from './testing/database.ts'
import { makeTestDatabase } from './testing/database.ts'

const PUNCTUAL = join(import.meta.dirname, '../../bin/punctual.js')
const CONFIG = join(import.meta.dirname, 'punctual.config.ts')

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

interface ReleaseOutput {
  readonly outcome: string
  /** The last line that each step logged. */
  readonly lines: Readonly<Record<string, string>>
}

function releaseByPunctual(): Promise<ReleaseOutput> {
  const env = { ...process.env, DIRECT_DATABASE_URL: database.url }
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [PUNCTUAL, 'release', '--json', '--config', CONFIG],
      { env },
      (error, stdout, stderr) => {
        if (error !== null) return reject(error)
        const events = stderr
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { event: string; step: string; line: string })
        const output = events.filter(({ event }) => event === 'release-step-output')
        const { outcome } = JSON.parse(stdout) as { outcome: string }
        resolve({ outcome, lines: Object.fromEntries(output.map(({ step, line }) => [step, line])) })
      },
    )
  })
}

test('of three concurrent releases, one migrates and seeds, and the others find it done', async () => {
  const outputs = await Promise.all([releaseByPunctual(), releaseByPunctual(), releaseByPunctual()])
  const migrations = readdirSync(join(import.meta.dirname, 'database/migrations')).map((file) =>
    file.replace('.ts', ''),
  )
  const migrated = outputs.filter(({ lines }) => migrations.every((name) => lines.migrate?.includes(name)))
  assert.equal(migrated.length, 1, JSON.stringify(outputs))
  assert.ok(migrated[0]?.lines.seed?.includes(` ${SEED_USERS.length + SEED_AUTH_USERS} `), migrated[0]?.lines.seed)
  for (const { outcome, lines } of outputs.filter((one) => one !== migrated[0])) {
    // A release that started too late to wait runs its steps again, unless the version is a clean
    // commit.
    if (outcome === 'skipped') continue
    const database = lines.migrate?.split(':')[0] ?? ''
    assert.equal(lines.migrate, formatMigrations({ database, migrations: [], migrationMs: 0 }))
    assert.equal(lines.seed, formatSeed({ seeded: 0, seedMs: 0 }))
  }
  const { rows } = await pool.query('select version from punctual_releases')
  assert.ok(rows.length >= 1)
})

test('a release that runs again changes nothing', async () => {
  const users = () => openDatabase(pool).selectFrom('users').selectAll().orderBy('id').execute()
  const before = await users()
  const report = await release(database.url)
  assert.deepEqual([report.migrations, report.seeded], [[], 0])
  assert.deepEqual(await users(), before)
})

test('a missing seeded user is added again, with the same hash', async () => {
  const grace = () =>
    openDatabase(pool).selectFrom('users').selectAll().where('username', '=', 'grace').executeTakeFirst()
  const before = await grace()
  await pool.query(`delete from users where username = 'grace'`)
  assert.equal((await release(database.url)).seeded, 1)
  const now = await grace()
  assert.equal(now?.password_hash, before?.password_hash)
  assert.ok(await verifyPassword(SEED_PASSWORD, now?.password_hash))
})

test('a seed that fails midway leaves nothing; the next one adds all users with their keys', async () => {
  const db = openDatabase(pool)
  const keys = async (): Promise<readonly unknown[]> =>
    (await pool.query('select prefix from api_keys join auth_users u on u.id = user_id order by username, prefix')).rows
  const before = await keys()
  await pool.query(`delete from auth_users; alter table api_keys add constraint full_disk check (prefix = '')`)
  await assert.rejects(seedAuthUsers(db), { constraint: 'full_disk' })
  await pool.query('alter table api_keys drop constraint full_disk')
  assert.equal(await seedAuthUsers(db), SEED_AUTH_USERS)
  assert.deepEqual(await keys(), before)
})
