import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/**
 * Identifies the app: distinguishes its lock, records and sessions in a shared database from
 * others.
 */
export interface AppIdentity {
  /** The name in the nearest `package.json` above the config file, else `app`. */
  readonly name: string
  readonly packageVersion: string | null
  /** Key of the advisory lock: a signed 64-bit integer as text. */
  readonly lockKey: string
  /** `application_name` of its steps' sessions, as `pg_stat_activity` shows it. */
  readonly stepSessions: string
}

export function identifyApp(configFile: string): AppIdentity {
  const found = nearestPackage(dirname(configFile))
  const name = typeof found?.name === 'string' && found.name !== '' ? found.name : 'app'
  const digest = createHash('sha256').update(`punctual release ${name}`).digest()
  return {
    name,
    packageVersion: typeof found?.version === 'string' ? found.version : null,
    lockKey: String(digest.readBigInt64BE(0)),
    stepSessions: `punctual step ${digest.toString('hex', 8, 16)}`,
  }
}

function nearestPackage(directory: string): { readonly name?: unknown; readonly version?: unknown } | null {
  try {
    return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as { readonly name?: unknown }
  } catch {
    const above = dirname(directory)
    return above === directory ? null : nearestPackage(above)
  }
}

/** The version being released. */
export interface ReleaseVersion {
  readonly name: string
  /** Whether the name identifies the code, so that a completed release need not run again. */
  readonly certain: boolean
}

export interface VersionOptions {
  /** The setting `releaseVersion`. */
  readonly setting: string
  readonly cwd: string
  readonly stateDir: string
  readonly packageVersion: string | null
}

const GIT_TIMEOUT = 10_000

/**
 * Returns the version that is set; for `auto`, the git commit if nothing is uncommitted. The
 * version
 * in `package.json` alone is not certain: few apps change it with every deployment.
 */
export async function findVersion({
  setting: written,
  cwd,
  stateDir,
  packageVersion,
}: VersionOptions): Promise<ReleaseVersion> {
  if (written !== 'auto') return { name: written, certain: true }
  const base = packageVersion ?? '0'
  const commit = (await git(cwd, ['rev-parse', '--verify', 'HEAD']))?.trim()
  if (commit === undefined || !/^[0-9a-f]{40,64}$/.test(commit)) return { name: base, certain: false }
  const inside = relative(cwd, stateDir)
  // Files that Punctual writes are not changes of the code.
  const excluded = inside === '' || inside.startsWith('..') ? [] : [`:(exclude)${inside}`]
  const changes = await git(cwd, ['status', '--porcelain', '--', '.', ...excluded])
  const clean = changes !== null && changes.trim() === ''
  return { name: `${base}-${commit.slice(0, 12)}${clean ? '' : '-changed'}`, certain: clean }
}

function git(cwd: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile('git', args, { cwd, timeout: GIT_TIMEOUT, maxBuffer: 16 * 1024 * 1024 }, (error, stdout) =>
      resolve(error === null ? stdout : null),
    )
  })
}
