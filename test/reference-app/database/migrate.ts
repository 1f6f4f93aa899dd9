import type { Kysely } from 'kysely'
import type { MigrationProvider } from 'kysely/migration'
import { Migrator } from 'kysely/migration'
import { AppError } from '../app-error.ts'

/**
 * Runs the missing migrations; returns their names. A failing one is rolled back, and named in the
 * error.
 */
export async function migrate<Tables>(db: Kysely<Tables>, provider: MigrationProvider): Promise<readonly string[]> {
  const { error, results = [] } = await new Migrator({ db, provider }).migrateToLatest()
  if (error !== undefined) {
    const failed = results.find(({ status }) => status === 'Error')
    const reason = error instanceof Error ? error.message : String(error)
    const migration = failed?.migrationName ?? null
    throw Object.assign(
      new AppError(
        'MIGRATION_FAILED',
        `Migration ${migration ?? '(before the first)'} failed and was rolled back: ${reason}`,
        { migration },
      ),
      { cause: error },
    )
  }
  return results.map(({ migrationName }) => migrationName)
}
