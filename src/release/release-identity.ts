import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** Which app is released: its lock, its records and its sessions in a shared database are told from those of others by it. */
export interface AppIdentity {
  /** The name in the `package.json` nearest to the config file; `app` where there is none. */
  readonly name: string
  readonly packageVersion: string | null
  /** Key of the advisory lock: a signed 64-bit integer, as text. */
  readonly lockKey: string
  /** Under which sessions of its steps are seen in `pg_stat_activity`. */
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

/** What is released. */
export interface ReleaseVersion {
  readonly name: string
  /** Whether the same name always means the same code, so that what has been done for it need not be done again. */
  readonly certain: boolean
}

export interface VersionOptions {
  /** The setting `releaseVersion`. */
  readonly setting: string
  readonly cwd: string
  readonly stateDir: string
  readonly packageVersion: string | null
}

const GIT_LIMIT = 10_000

/**
 * The version as it is written; for `auto` the git commit, where there is one and nothing is uncommitted. The version in `package.json` alone says
 * little: few raise it with every deployment, and a migration that is skipped for it would be missed only much later.
 */
export async function findVersion({
  setting: written,
  cwd,
  stateDir,
  packageVersion,
}: VersionOptions): Promise<ReleaseVersion> {
  if (written !== 'auto') return { name: written, certain: true }
  const front = packageVersion ?? '0'
  const commit = (await git(cwd, ['rev-parse', '--verify', 'HEAD']))?.trim()
  if (commit === undefined || !/^[0-9a-f]{40,64}$/.test(commit)) return { name: front, certain: false }
  const inside = relative(cwd, stateDir)
  // What Punctual itself writes is no change of the code.
  const but = inside === '' || inside.startsWith('..') ? [] : [`:(exclude)${inside}`]
  const changes = await git(cwd, ['status', '--porcelain', '--', '.', ...but])
  const clean = changes !== null && changes.trim() === ''
  return { name: `${front}-${commit.slice(0, 12)}${clean ? '' : '-changed'}`, certain: clean }
}

function git(cwd: string, args: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    execFile('git', args, { cwd, timeout: GIT_LIMIT, maxBuffer: 16 * 1024 * 1024 }, (error, stdout) =>
      resolve(error === null ? stdout : null),
    )
  })
}
