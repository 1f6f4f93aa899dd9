import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { UsageError } from '../../errors/punctual-error.ts'
import type { GraphileModule } from './graphile-shapes.ts'

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
    )
  }
  const module = (await import(pathToFileURL(path).href)) as Partial<GraphileModule>
  const { run, runMigrations, Logger } = module
  if (run === undefined || runMigrations === undefined || Logger === undefined) {
    throw new UsageError(`graphile-worker at ${path} is not the one that is known here; install version 0.18 or later`)
  }
  return { run, runMigrations, Logger }
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
