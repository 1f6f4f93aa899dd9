import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { until } from './until.ts'

/** A Redis server for one test file, with its own directory. */
export interface TestRedis {
  readonly port: number
  readonly url: string
  /** Stops the process with SIGSTOP; connections stay open. */
  freeze(): void
  thaw(): void
  /** Kills it with SIGKILL; nothing is saved. */
  kill(): Promise<void>
  /** Starts it on the same port, with the saved data. */
  start(): Promise<void>
  /**
   * Sends one command on a new connection: `command('CONFIG', 'SET', 'maxmemory', '1mb')`. Rejects
   * with the error of Redis.
   */
  command(...args: readonly string[]): Promise<unknown>
  stop(): Promise<void>
}

/** Why Redis is not available; null if it is. In CI its absence is a failure. */
export function redisMissing(): string | null {
  if (findServer() !== null) return null
  const why = 'no redis-server on PATH, and it could not be installed'
  if (process.env.CI === 'true') throw new Error(why)
  return why
}

let found: string | null | undefined

function findServer(): string | null {
  found ??= onPath() ?? (install() ? onPath() : null)
  return found
}

function onPath(): string | null {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, 'redis-server')
    if (directory !== '' && existsSync(path)) return path
  }
  return null
}

/** Works on Debian as root, as in CI and containers. */
function install(): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return false
  try {
    execFileSync('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], {
      stdio: 'ignore',
      timeout: 120_000,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
    })
    return true
  } catch {
    return false
  }
}

/** Starts a server on a free port. */
export async function startRedis(): Promise<TestRedis> {
  const server = findServer()
  if (server === null) throw new Error('no redis-server; ask redisMissing() first')
  const directory = mkdtempSync(join(tmpdir(), 'punctual-redis-'))
  const port = await quietPort()
  let child: ChildProcess | null = null

  const start = async (): Promise<void> => {
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no']
    await until('Redis to answer', async () => {
      if (child === null || child.exitCode !== null) child = spawn(server, args, { stdio: 'ignore' })
      return (await command('PING')) === 'PONG'
    })
  }
  const kill = async (): Promise<void> => {
    const dying = child
    child = null
    if (dying === null || dying.exitCode !== null) return
    const ended = new Promise((resolve) => dying.once('exit', resolve))
    dying.kill('SIGKILL')
    await ended
  }
  const command = (...args: readonly string[]): Promise<unknown> => ask(port, args)

  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    kill,
    start,
    command,
    stop: async () => {
      await kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/**
 * Finds a free port below those that the system assigns. A client that keeps reconnecting to an
 * assigned port may get it as its own, connect to itself, and keep the server from using it.
 */
export async function quietPort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/**
 * Sends one command without a library. Supports simple strings, errors, integers and bulk strings.
 */
function ask(port: number, args: readonly string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    let text = ''
    socket.setTimeout(2_000, () => socket.destroy(new Error('Redis does not answer')))
    socket.on('error', reject)
    socket.on('data', (bytes) => {
      text += bytes
      const end = text.indexOf('\r\n')
      if (end === -1) return
      const head = text.slice(1, end)
      const kind = text[0]
      if (kind === '$' && head !== '-1' && text.length < end + 2 + Number(head) + 2) return
      socket.destroy()
      if (kind === '-') reject(new Error(head))
      else if (kind === ':') resolve(Number(head))
      else if (kind === '$') resolve(head === '-1' ? null : text.slice(end + 2, end + 2 + Number(head)))
      else resolve(head)
    })
    socket.write(`*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join('')}`)
  })
}
