import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { acquireLock } from '../../../scripts/lock-directory.ts'

const SERVERS = join(import.meta.dirname, '../servers')
/** In milliseconds; the largest of them download 200 MB. */
const INSTALL_TIMEOUT = 300_000

/**
 * Installs `test/compatibility/servers/<name>` by `npm ci`, once for each content of its lock file,
 * runs its script `build`, if it has one, once for each content of its sources, and returns the
 * directory. Of several processes one installs and the others wait. Rejects after five minutes.
 *
 * @param name a folder with `package.json` and `package-lock.json`, or an absolute path to one
 */
export async function installServer(name: string): Promise<string> {
  const directory = name.startsWith('/') ? name : join(SERVERS, name)
  await once(directory, 'install', lockFileHash(directory), () =>
    run(directory, 'npm', ['ci', '--prefer-offline', '--no-fund', '--no-audit', '--loglevel=error']),
  )
  if (hasBuild(directory)) {
    await once(directory, 'built', sourceHash(directory), () =>
      run(directory, 'npm', ['run', 'build'], { NODE_ENV: 'production' }),
    )
  }
  return directory
}

function hasBuild(directory: string): boolean {
  const { scripts } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  return scripts?.build !== undefined
}

/**
 * Does a step in a directory once for each `key`. A mark in `.cache` of the directory records it,
 * and a lock beside it keeps other processes from doing it at the same time.
 */
export async function once(directory: string, step: string, key: string, work: () => Promise<void>): Promise<void> {
  const cache = join(directory, '.cache')
  const mark = join(cache, step)
  const lock = `${mark}.lock`
  const isDone = (): boolean => existsSync(mark) && readFileSync(mark, 'utf8') === key
  const end = Date.now() + INSTALL_TIMEOUT
  while (!isDone()) {
    if (!acquireLock(lock, INSTALL_TIMEOUT)) {
      if (Date.now() > end) throw new Error(`another process is busy with it for too long; remove ${lock}`)
      await sleep(200)
      continue
    }
    try {
      if (isDone()) return
      rmSync(mark, { force: true })
      await work()
      writeFileSync(mark, key)
    } finally {
      rmSync(lock, { recursive: true, force: true })
    }
  }
}

/** Runs a program of an app's folder; rejects with its output if it fails. */
function run(directory: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: directory,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: INSTALL_TIMEOUT,
      killSignal: 'SIGKILL',
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${command} ${args.join(' ')} in ${directory} ended with ${signal ?? code}:\n${output}`))
    })
  })
}

function lockFileHash(directory: string): string {
  return hash(readFileSync(join(directory, 'package-lock.json'), 'utf8'))
}

/** Of all files that are not made by an installation or a build. */
function sourceHash(directory: string): string {
  const files = globSync('**/*', { cwd: directory, exclude: ['node_modules', '.cache', 'dist'], withFileTypes: true })
  const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name))
  return hash(
    paths
      .toSorted()
      .map((path) => `${path}\n${readFileSync(path, 'utf8')}`)
      .join('\n'),
  )
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
