import { execFile } from 'node:child_process'
import { relative } from 'node:path'

/** What is released. */
export interface ReleaseVersion {
  readonly name: string
  /** Whether the same name always means the same code, so that what has been done for it need not be done again. */
  readonly certain: boolean
}

export interface VersionSurroundings {
  /** The setting `releaseVersion`. */
  readonly written: string
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
  written,
  cwd,
  stateDir,
  packageVersion,
}: VersionSurroundings): Promise<ReleaseVersion> {
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
