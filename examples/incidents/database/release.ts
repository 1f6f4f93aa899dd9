import { promises as fs } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { FileMigrationProvider } from 'kysely/migration'
import pg from 'pg'
import { monotonicNow } from '../../../src/wait/clock.ts'
import { readDatabaseUrl } from './database-url.ts'
import { migrate } from './migrate.ts'
import { openDatabase, openPool } from './pool.ts'
import type { ReleaseReport } from './release-report.ts'
import { seedUsers } from './seed.ts'
import { seedAuthUsers } from './seed-auth.ts'
import { seedReferrals } from './seed-referrals.ts'
import { releaseSqlite } from './sqlite/release-sqlite.ts'

// Any number will do, as long as nobody else takes it in the same database: the ASCII of `incident`.
const LOCK = '7597118925727690356'
const LOCK_LIMIT_MS = 60_000
const STATEMENT_LIMIT_MS = 600_000

/**
 * Migrates and seeds, under a lock: of several that start at once one works, the others wait and find it done. A migration that fails is rolled
 * back, and named in the error.
 *
 * @param url `postgres://…` or `sqlite:…`
 */
export async function release(url: string): Promise<ReleaseReport> {
  const address = readDatabaseUrl(url)
  return address.kind === 'sqlite' ? releaseSqlite(address.path) : releasePostgres(address.url)
}

/** Under an advisory lock of PostgreSQL, which is waited for for 60 s at most. */
async function releasePostgres(url: string): Promise<ReleaseReport> {
  const lock = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'incidents release lock',
  })
  // Unheard, a connection that breaks while idle would end the process; the queries after it fail and tell.
  lock.on('error', () => {})
  await lock.connect()
  try {
    await takeLock(lock)
    const { rows } = await lock.query<{ server_version: string }>('show server_version')
    return { ...(await migrateAndSeed(url)), database: `PostgreSQL ${rows[0]?.server_version ?? 'unknown'}` }
  } finally {
    // Ending the session gives the lock back.
    await lock.end()
  }
}

async function takeLock(client: pg.Client): Promise<void> {
  await client.query(`set lock_timeout = ${LOCK_LIMIT_MS}`)
  try {
    await client.query('select pg_advisory_lock($1::bigint)', [LOCK])
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error
    throw new Error(
      `Another release has held the lock for ${LOCK_LIMIT_MS / 1_000} s. See who: select * from pg_locks where locktype = 'advisory'.`,
      { cause: error },
    )
  }
}

async function migrateAndSeed(url: string): Promise<Omit<ReleaseReport, 'database'>> {
  const pool = openPool({ url, max: 2, name: 'incidents release', statementTimeout: STATEMENT_LIMIT_MS })
  const db = openDatabase(pool)
  try {
    const start = monotonicNow()
    const migrations = await migrate(db, migrationFiles())
    const migrated = monotonicNow()
    const seeded = (await seedUsers(db)) + (await seedAuthUsers(db))
    await seedReferrals(db)
    return { migrations, migrationMs: migrated - start, seeded, seedMs: monotonicNow() - migrated }
  } finally {
    await pool.end()
  }
}

function migrationFiles(): FileMigrationProvider {
  return new FileMigrationProvider({
    fs,
    path,
    migrationFolder: fileURLToPath(new URL('migrations', import.meta.url)),
    import: (file) => import(pathToFileURL(file).href),
  })
}
