import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UsageError } from '../../errors/punctual-error.ts'
import type { GraphileModule } from './graphile-shapes.ts'

/** Of version 0: what is used here is as it is used since then. */
const LEAST_MINOR = 18

/** Where the app's packages are, most likely first: beside its entry, the working directory, this package. */
function placesOfApp(): readonly string[] {
  const entry = process.argv[1]
  return [...(entry === undefined ? [] : [dirname(entry)]), process.cwd(), import.meta.dirname]
}

/**
 * The `graphile-worker` of the app.
 *
 * @throws UsageError when there is none, or one that is too old
 */
export async function loadGraphileWorker(from: readonly string[] = placesOfApp()): Promise<GraphileModule> {
  const path = find(from)
  if (path === undefined) {
    throw new UsageError(
      `graphile-worker is not installed where the app is (${from[0]}); graphileWorker(…) needs it: npm install graphile-worker`,
      { details: { reason: 'not-installed', directory: from[0] } },
    )
  }
  const version = versionOf(path)
  if (isTooOld(version)) {
    throw new UsageError(
      `graphile-worker at ${path} is of version ${version ?? 'unknown'}; graphileWorker(…) needs 0.${LEAST_MINOR} or later: npm install graphile-worker@latest`,
      { details: { reason: 'too-old', version: version ?? null, path } },
    )
  }
  return (await import(pathToFileURL(path).href)) as GraphileModule
}

interface Manifest {
  readonly name?: unknown
  readonly version?: string
}

/** @param path of its main module */
function versionOf(path: string): string | undefined {
  for (let directory = dirname(path); directory !== dirname(directory); directory = dirname(directory)) {
    try {
      const { name, version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest
      if (name === 'graphile-worker') return version
    } catch {
      // It is further up.
    }
  }
  return undefined
}

function isTooOld(version: string | undefined): boolean {
  const [major = Number.NaN, minor = Number.NaN] = (version ?? '').split('.').map(Number)
  return !(major > 0 || minor >= LEAST_MINOR)
}

function find(directories: readonly string[]): string | undefined {
  for (const directory of directories) {
    try {
      return createRequire(join(directory, 'package.json')).resolve('graphile-worker')
    } catch {
      // The next may have it.
    }
  }
  return undefined
}
