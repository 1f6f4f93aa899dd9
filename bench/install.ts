import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** The packages are about 160 MB. */
const TIMEOUT = 600_000
const PACKAGES = join(import.meta.dirname, 'node_modules')

/**
 * Installs the packages that the benches compare Punctual with into bench/node_modules, unless they
 * are installed. `npm ci` is not used: it fails if the registry lacks the binary of any platform.
 *
 * @throws Error if npm fails or takes longer than ten minutes
 */
export function installContenders(): void {
  const done = join(PACKAGES, '.package-lock.json')
  const wanted = join(import.meta.dirname, 'package-lock.json')
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(wanted).mtimeMs) return
  console.error('bench: installing the packages to compare with into bench/node_modules (once)')
  const { status, signal, error } = spawnSync(
    'npm',
    ['install', '--no-save', '--no-fund', '--no-audit', '--loglevel=error'],
    {
      cwd: import.meta.dirname,
      stdio: ['ignore', 2, 2],
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
    },
  )
  if (status !== 0) {
    const why = error?.message ?? (signal === null ? `exit code ${status}` : `killed by ${signal}`)
    throw new Error(`npm install in bench/ failed (${why}); run it by hand to see the error`)
  }
}

/** @throws Error if the package is not installed */
export function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8')) as { version: string }).version
}
