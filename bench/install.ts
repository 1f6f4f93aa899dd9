import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** All packages together are about 160 MB. */
const LIMIT = 600_000
const PACKAGES = join(import.meta.dirname, 'node_modules')

/**
 * Installs what the benches compare Punctual with, into bench/node_modules, unless it is there. Not by `npm ci`: that fails wherever a registry
 * lacks the binary of a platform nobody here has.
 *
 * @throws Error when npm fails or takes longer than ten minutes
 */
export function installContenders(): void {
  const done = join(PACKAGES, '.package-lock.json')
  const wanted = join(import.meta.dirname, 'package-lock.json')
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(wanted).mtimeMs) return
  console.error('bench: installing what Punctual is compared with into bench/node_modules (once)')
  const { status, signal, error } = spawnSync(
    'npm',
    ['install', '--no-save', '--no-fund', '--no-audit', '--loglevel=error'],
    {
      cwd: import.meta.dirname,
      stdio: ['ignore', 2, 2],
      timeout: LIMIT,
      killSignal: 'SIGKILL',
    },
  )
  if (status !== 0) {
    const why = error?.message ?? (signal === null ? `exit code ${status}` : `ended by ${signal}`)
    throw new Error(`npm install in bench/ failed (${why}); run it by hand to see why`)
  }
}

/** @throws Error when the package is not installed */
export function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8')) as { version: string }).version
}
