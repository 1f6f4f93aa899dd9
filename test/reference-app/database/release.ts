import { promises as fs } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import { FileMigrationProvider } from 'kysely/migration'
import { monotonicNow } from '../../../src/resilience/clock.ts'
import { readDatabaseUrl } from './database-url.ts'
import { migrate } from './migrate.ts'
import { openDatabase, openPool } from './pool.ts'
import type { MigrationReport, ReleaseReport, SeedReport } from './release-report.ts'
import type { Database } from './schema.ts'
import { seedUsers } from './seed.ts'
import { seedAuthUsers } from './seed-auth.ts'
import { seedReferrals } from './seed-referrals.ts'
import { migrateSqlite, seedSqlite } from './sqlite/release-sqlite.ts'

const STATEMENT_LIMIT_MS = 600_000

/**
 * Runs the missing migrations in one transaction: a failing one rolls all back, and is named in the
 * error. The release step (`punctual.config.ts`) prevents concurrent runs.
 *
 * @param url `postgres://…` or `sqlite:…`
 */
export async function migrateDatabase(url: string): Promise<MigrationReport> {
  const address = readDatabaseUrl(url)
  if (address.kind === 'sqlite') return migrateSqlite(address.path)
  return usingDatabase(address.url, async (db) => {
    const { rows } = await sql<{ server_version: string }>`show server_version`.execute(db)
    const start = monotonicNow()
    const migrations = await migrate(db, migrationFiles())
    const database = `PostgreSQL ${rows[0]?.server_version ?? 'unknown'}`
    return { database, migrations, migrationMs: monotonicNow() - start }
  })
}

/** Adds the missing seed to a migrated database. */
export async function seedDatabase(url: string): Promise<SeedReport> {
  const address = readDatabaseUrl(url)
  if (address.kind === 'sqlite') return seedSqlite(address.path)
  return usingDatabase(address.url, async (db) => {
    const start = monotonicNow()
    const seeded = (await seedUsers(db)) + (await seedAuthUsers(db))
    await seedReferrals(db)
    return { seeded, seedMs: monotonicNow() - start }
  })
}

/** Both, for tests with a database of their own. */
export async function release(url: string): Promise<ReleaseReport> {
  return { ...(await migrateDatabase(url)), ...(await seedDatabase(url)) }
}

async function usingDatabase<Result>(url: string, work: (db: Kysely<Database>) => Promise<Result>): Promise<Result> {
  // Uses Punctual's name for its sessions: the next release ends what a killed one left.
  const { PGAPPNAME: name = 'incidents release' } = process.env
  const pool = openPool({ url, max: 2, name, statementTimeout: STATEMENT_LIMIT_MS })
  try {
    return await work(openDatabase(pool))
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
