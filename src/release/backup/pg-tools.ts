import { execFile } from 'node:child_process'
import { accessSync, constants, globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ReleaseError } from '../release-error.ts'

/** A set of PostgreSQL's client programs. */
export interface PgTools {
  readonly dump: string
  readonly restore: string
  /** Null: it is not beside the others; only a restore needs it. */
  readonly psql: string | null
  /** Of `pg_dump`: 15. */
  readonly major: number
}

const VERSION_LIMIT = 10_000

/** Where distributions put one set for each version. */
const PLACES = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/opt/postgresql@*/bin',
  '/opt/homebrew/opt/libpq/bin',
]

/**
 * Finds the programs that can dump a server of this version: `pg_dump` reads servers of its own major version and older ones. The same version is
 * taken before a newer one, whose dump an older server may not read.
 *
 * @param directory where to look; null looks where they are usually put, and on PATH
 * @throws Error that says which were found and what to install
 */
export async function findPgTools(serverMajor: number, directory: string | null): Promise<PgTools> {
  const directories =
    directory === null
      ? [...PLACES.flatMap((place) => globSync(place)), ...(process.env.PATH ?? '').split(delimiter)]
      : [directory]
  const found: PgTools[] = []
  for (const place of new Set(directories)) {
    const [dump, restore, psql] = ['pg_dump', 'pg_restore', 'psql'].map((name) => program(place, name))
    if (dump === null || dump === undefined || restore === null || restore === undefined) continue
    const major = await majorOf(dump)
    if (major !== null) found.push({ dump, restore, psql: psql ?? null, major })
  }
  const fitting = found.filter(({ major }) => major >= serverMajor).toSorted((a, b) => a.major - b.major)
  if (fitting[0] !== undefined) return fitting[0]
  const seen = found.map(({ dump, major }) => `${dump} (${major})`).join(', ')
  throw new ReleaseError(
    `no pg_dump that fits PostgreSQL ${serverMajor} ${directory === null ? 'was found' : `is in ${directory}`}${seen === '' ? '' : `, only ${seen}`}; install the client programs of version ${serverMajor} (Debian: postgresql-client-${serverMajor}) or name their directory in backup.tools`,
    { phase: 'backup', reason: 'tools-missing', serverMajor, foundMajors: found.map(({ major }) => major) },
  )
}

function program(directory: string, name: string): string | null {
  const path = join(directory, name)
  try {
    accessSync(path, constants.X_OK)
    return path
  } catch {
    return null
  }
}

function majorOf(dump: string): Promise<number | null> {
  return new Promise((resolve) => {
    execFile(dump, ['--version'], { timeout: VERSION_LIMIT }, (error, stdout) => {
      const major = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]
      resolve(error !== null || major === undefined ? null : Number(major))
    })
  })
}
