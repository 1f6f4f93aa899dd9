import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import { monotonicNow } from '../../../../src/resilience/clock.ts'
import { migrate } from '../migrate.ts'
import type { MigrationReport, SeedReport } from '../release-report.ts'
import { missingUsers, SEED_USERS } from '../seed.ts'
import { up as createUsers, down as dropUsers } from './migrations/0001-users-and-sessions.ts'
import { up as createAudit, down as dropAudit } from './migrations/0002-security-events-and-user-activity.ts'
import { up as changeAuditIds, down as restoreAuditIds } from './migrations/0003-audit-ids.ts'
import { openSqliteDatabase } from './open-sqlite-database.ts'
import type { SqliteTables } from './tables.ts'

const MIGRATIONS = {
  '0001-users-and-sessions': { up: createUsers, down: dropUsers },
  '0002-security-events-and-user-activity': { up: createAudit, down: dropAudit },
  '0003-audit-ids': { up: changeAuditIds, down: restoreAuditIds },
}

/**
 * Creates the file and its directory if missing, and migrates. All migrations are one transaction
 * that starts with the write lock of the file: of several processes one works, the others wait and
 * find it done.
 */
export function migrateSqlite(path: string): Promise<MigrationReport> {
  mkdirSync(dirname(path), { recursive: true })
  return usingDatabase(path, async (db) => {
    const { rows } = await sql<{ version: string }>`select sqlite_version() as version`.execute(db)
    const start = monotonicNow()
    const migrations = await migrate(db, { getMigrations: async () => MIGRATIONS })
    return { database: `SQLite ${rows[0]?.version ?? 'unknown'}`, migrations, migrationMs: monotonicNow() - start }
  })
}

/** The seed is one transaction too. */
export function seedSqlite(path: string): Promise<SeedReport> {
  return usingDatabase(path, async (db) => {
    const start = monotonicNow()
    return { seeded: await seed(db), seedMs: monotonicNow() - start }
  })
}

async function usingDatabase<Result>(
  path: string,
  work: (db: Kysely<SqliteTables>) => Promise<Result>,
): Promise<Result> {
  const db = openSqliteDatabase('release', path, { readers: 0, queryTimeout: '1m', transactionTimeout: '10m' })
  try {
    return await work(db)
  } finally {
    await db.destroy()
  }
}

/**
 * Locks the file only if there is something to do, so that a release without work does not block
 * requests.
 */
async function seed(db: Kysely<SqliteTables>): Promise<number> {
  if ((await usersIn(db)).length >= SEED_USERS.length) return 0
  return db.transaction().execute(async (tx) => {
    const missing = await missingUsers(await usersIn(tx))
    if (missing.length > 0) {
      await tx
        .insertInto('users')
        .values(missing.map((user) => ({ ...user, last_login_at: null })))
        .execute()
    }
    return missing.length
  })
}

async function usersIn(db: Kysely<SqliteTables>): Promise<readonly string[]> {
  const rows = await db.selectFrom('users').select('username').where('username', 'in', SEED_USERS).execute()
  return rows.map(({ username }) => username)
}
