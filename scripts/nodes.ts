import { execFileSync } from 'node:child_process'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { acquireLock } from './lock-directory.ts'

const ROOT = join(import.meta.dirname, '..')
const INSTALL_TIMEOUT = 180_000

/** The major versions of Node that tests run on. */
export type NodeMajor = 22 | 24 | 26

/**
 * Path of a Node binary. Node 24 is the repository's own; the others are installed into `.cache`
 * from npm's `node` package on first use. Of two processes one installs and the other waits. Throws
 * after three minutes.
 */
export function nodeBinary(major: NodeMajor): string {
  if (major === 24) return join(ROOT, 'node_modules/node/bin/node')
  const home = join(ROOT, `.cache/node-${major}`)
  const binary = join(home, 'node_modules/node/bin/node')
  const lock = `${home}.lock`
  const end = Date.now() + INSTALL_TIMEOUT
  while (!existsSync(binary)) {
    if (!acquireLock(lock, INSTALL_TIMEOUT)) {
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

/** Installs beside the destination first, so that an incomplete installation is never used. */
function install(major: NodeMajor, home: string): void {
  const half = `${home}.${process.pid}`
  try {
    execFileSync('npm', ['install', '--prefix', half, '--no-fund', '--no-audit', '--loglevel=error', `node@${major}`], {
      cwd: dirname(home),
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: INSTALL_TIMEOUT,
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
