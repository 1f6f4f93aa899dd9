import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ReleaseRecord } from '../../../src/diagnostics/release-report.ts'
import type { DebianPostgres } from './debian-postgres.ts'
import { ReleaseApp } from './release-app.ts'

export interface BackupOptions {
  /** Name of the app. */
  readonly name: string
  readonly url: string
  readonly steps: string
  /** The options of `backup`, without braces. */
  readonly backup?: string
}

/** An app whose releases make backups of a database. */
export function appWithBackups({ name, url, steps, backup = '' }: BackupOptions): ReleaseApp {
  const config = `export default { release: [${steps}], releaseLock: 'env:DATABASE_URL', releaseVersion: 'v1', backup: { ${backup} } }`
  return new ReleaseApp(config, { DATABASE_URL: url }, { 'package.json': `{ "name": "${name}", "type": "module" }` })
}

/** File names of the backups, oldest first. */
export function backupsOf(app: ReleaseApp): readonly string[] {
  const path = join(app.directory.path, '.punctual/backups')
  return existsSync(path) ? readdirSync(path).toSorted() : []
}

/** The records in a database, newest first. */
export async function historyOf(server: DebianPostgres, database: string): Promise<readonly ReleaseRecord[]> {
  const client = await server.client(database)
  try {
    const { rows } = await client.query('select record from punctual_releases order by started_at desc')
    return rows.map(({ record }) => record)
  } finally {
    await client.end()
  }
}
