import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const INSTALL_LIMIT = 180_000

/** Major versions of Node that Punctual is tested on. */
export type NodeMajor = 22 | 24 | 26

/**
 * Path of that Node. 24 is the repository's own; the others are installed into `.cache` from npm's `node` package when first asked for.
 * Two processes may ask at once: one installs, the other waits. Throws if it takes longer than three minutes.
 */
export function nodeBinary(major: NodeMajor): string {
  if (major === 24) return join(ROOT, 'node_modules/node/bin/node')
  const home = join(ROOT, `.cache/node-${major}`)
  const binary = join(home, 'node_modules/node/bin/node')
  const lock = `${home}.lock`
  const end = Date.now() + INSTALL_LIMIT
  while (!existsSync(binary)) {
    if (!take(lock)) {
      if (Date.now() > end)
        throw new Error(`another process has been installing Node ${major} for too long; remove ${lock}`)
      sleep(200)
      continue
    }
    try {
      if (!existsSync(binary)) install(major, home)
    } finally {
      rmSync(lock, { recursive: true, force: true })
    }
  }
  return binary
}

/** A directory can be made once. One older than the limit was left by a process that died. */
function take(lock: string): boolean {
  mkdirSync(dirname(lock), { recursive: true })
  try {
    mkdirSync(lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > INSTALL_LIMIT) rmSync(lock, { recursive: true, force: true })
    return false
  }
}

/** Beside the goal first, so that a half-done installation never stands there. */
function install(major: NodeMajor, home: string): void {
  const half = `${home}.${process.pid}`
  try {
    execFileSync('npm', ['install', '--prefix', half, '--no-fund', '--no-audit', '--loglevel=error', `node@${major}`], {
      cwd: dirname(home),
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: INSTALL_LIMIT,
      killSignal: 'SIGKILL',
    })
    rmSync(home, { recursive: true, force: true })
    renameSync(half, home)
  } finally {
    rmSync(half, { recursive: true, force: true })
  }
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
