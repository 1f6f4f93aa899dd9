import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { accessSync, constants, globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { killTree, TREE_VARIABLE } from '../kill-tree.ts'
import { ReleaseError } from '../release-error.ts'

/** Characters that are kept of each stream. */
const MAX_OUTPUT = 4 * 1024 * 1024

export interface ProgramOptions {
  readonly signal: AbortSignal
  readonly env?: Readonly<Record<string, string>>
  readonly shell?: boolean
  readonly cwd?: string
}

/**
 * Runs a program and resolves with its standard output. Kills it, with every process it started,
 * when the signal is aborted.
 *
 * @throws ReleaseError with the end of its standard error if it fails; the reason of `signal` if it
 *   is aborted
 */
export function runProgram(file: string, args: readonly string[], options: ProgramOptions): Promise<string> {
  const { signal, env = {}, shell = false, cwd } = options
  const mark = randomUUID()
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const child = spawn(file, args, {
      detached: true,
      shell,
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, ...env, [TREE_VARIABLE]: mark },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    let ending: Promise<void> | null = null
    const onAbort = (): void => {
      ending ??= killTree(child, mark, true)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      stdout = (stdout + chunk).slice(-MAX_OUTPUT)
    })
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-MAX_OUTPUT)
    })
    child.on('error', (error) => {
      signal.removeEventListener('abort', onAbort)
      reject(error)
    })
    child.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', onAbort)
      void Promise.resolve(ending).then(() => {
        if (signal.aborted) return reject(signal.reason)
        if (code === 0) return resolve(stdout)
        const output = lastLines(stderr === '' ? stdout : stderr)
        const how = killedBy ?? `exit code ${code}`
        reject(
          new ReleaseError(`${file} failed (${how})${output === '' ? '' : `: ${output}`}`, {
            phase: 'process',
            reason: 'command-failed',
            exitCode: code,
            signal: killedBy,
          }),
        )
      })
    })
  })
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-6).join('\n').slice(-1_000)
}

/** The client programs of one PostgreSQL version. */
export interface PgTools {
  readonly dump: string
  readonly restore: string
  /** Null if it is missing; only a restore needs it. */
  readonly psql: string | null
  /** Major version of `pg_dump`: 15. */
  readonly major: number
}

const VERSION_TIMEOUT = 10_000

/** Where distributions install the programs of each version. */
const DIRECTORIES = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/opt/postgresql@*/bin',
  '/opt/homebrew/opt/libpq/bin',
]

/**
 * Finds the programs that can dump a server of this version: `pg_dump` reads servers of its own
 * major
 * version and older. Prefers the same version, because an older server may not read a newer dump.
 *
 * @param directory where to look; null searches the usual directories and PATH
 * @throws ReleaseError that says which were found and what to install
 */
export async function findPgTools(serverMajor: number, directory: string | null): Promise<PgTools> {
  const directories =
    directory === null
      ? [...DIRECTORIES.flatMap((pattern) => globSync(pattern)), ...(process.env.PATH ?? '').split(delimiter)]
      : [directory]
  const found: PgTools[] = []
  for (const path of new Set(directories)) {
    const [dump, restore, psql] = ['pg_dump', 'pg_restore', 'psql'].map((name) => program(path, name))
    if (dump === null || dump === undefined || restore === null || restore === undefined) continue
    const major = await majorOf(dump)
    if (major !== null) found.push({ dump, restore, psql: psql ?? null, major })
  }
  const fitting = found.filter(({ major }) => major >= serverMajor).toSorted((a, b) => a.major - b.major)
  if (fitting[0] !== undefined) return fitting[0]
  const seen = found.map(({ dump, major }) => `${dump} (${major})`).join(', ')
  throw new ReleaseError(
    `no pg_dump for PostgreSQL ${serverMajor} ${directory === null ? 'was found' : `in ${directory}`}${seen === '' ? '' : `, only ${seen}`}; install the client programs of version ${serverMajor} (Debian: postgresql-client-${serverMajor}), or set backup.tools to their directory`,
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
    execFile(dump, ['--version'], { timeout: VERSION_TIMEOUT }, (error, stdout) => {
      const major = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]
      resolve(error !== null || major === undefined ? null : Number(major))
    })
  })
}
