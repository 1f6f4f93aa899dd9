import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ReleaseRecord } from '../../../src/diagnostics/release-report.ts'
import type { DebianPostgres } from './debian-postgres.ts'
import { ReleasePlace } from './place.ts'

export interface BackupPlaceOptions {
  /** Of the app. */
  readonly name: string
  readonly url: string
  readonly steps: string
  /** What stands between the braces of `backup`. */
  readonly backup?: string
}

/** A place whose releases make back-ups of a database. */
export function backupPlace({ name, url, steps, backup = '' }: BackupPlaceOptions): ReleasePlace {
  const config = `export default { release: [${steps}], releaseLock: 'env:DATABASE_URL', releaseVersion: 'v1', backup: { ${backup} } }`
  return new ReleasePlace(config, { DATABASE_URL: url }, { 'package.json': `{ "name": "${name}", "type": "module" }` })
}

/** Names of the files among its back-ups, the oldest first. */
export function backupsOf(place: ReleasePlace): readonly string[] {
  const path = join(place.directory.path, '.punctual/backups')
  return existsSync(path) ? readdirSync(path).toSorted() : []
}

/** The records in a database, the newest first. */
export async function historyOf(server: DebianPostgres, database: string): Promise<readonly ReleaseRecord[]> {
  const client = await server.client(database)
  try {
    const { rows } = await client.query('select record from punctual_releases order by started_at desc')
    return rows.map(({ record }) => record)
  } finally {
    await client.end()
  }
}
