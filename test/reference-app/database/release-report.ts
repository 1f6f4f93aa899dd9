import { formatElapsed } from '../../../src/resilience/duration.ts'

export interface MigrationReport {
  /** Names of the migrations that ran; empty if none was missing. */
  readonly migrations: readonly string[]
  readonly migrationMs: number
  /** The database, e.g. `PostgreSQL 18.4`. */
  readonly database: string
}

export interface SeedReport {
  /** Users that the seed added: those of the login and, in PostgreSQL, those of auth. */
  readonly seeded: number
  readonly seedMs: number
}

/** The result of a release. */
export type ReleaseReport = MigrationReport & SeedReport

export function formatMigrations({ migrations, migrationMs, database }: MigrationReport): string {
  if (migrations.length === 0) return `${database}: no migration is missing`
  const count = migrations.length === 1 ? '1 migration' : `${migrations.length} migrations`
  return `${database}: ran ${count} in ${formatElapsed(migrationMs)} (${migrations.join(', ')})`
}

export function formatSeed({ seeded, seedMs }: SeedReport): string {
  return seeded === 0 ? 'no user is missing' : `seeded ${seeded} users in ${formatElapsed(seedMs)}`
}
