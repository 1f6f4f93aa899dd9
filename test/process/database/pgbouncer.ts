import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import type { TestServer } from './postgres.ts'

/** PgBouncer in front of a test server. */
export interface Bouncer {
  readonly port: number
  stop(): Promise<void>
}

/** Whether PgBouncer is installed; it is a Debian package, not one of npm. */
export function hasBouncer(): boolean {
  return spawnSync('pgbouncer', ['--version']).status === 0
}

/** @param size the server connections for all clients */
export async function startBouncer(
  server: TestServer,
  size: number,
  mode: 'session' | 'transaction' = 'transaction',
): Promise<Bouncer> {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-bouncer-'))
  const port = await freePort()
  const config = join(directory, 'pgbouncer.ini')
  const lines = [
    '[databases]',
    `postgres = host=127.0.0.1 port=${server.port} user=${server.user} password=${server.password}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    `pool_mode = ${mode}`,
    `default_pool_size = ${size}`,
    'max_client_conn = 100',
    // PgBouncer refuses to run as root.
    ...(process.getuid?.() === 0 ? ['user = postgres'] : []),
  ]
  writeFileSync(config, `${lines.join('\n')}\n`)
  chmodSync(directory, 0o755)
  const child = spawn('pgbouncer', [config], { stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => said.push(String(text)))
  const stop = async (): Promise<void> => {
    await end(child)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await until('PgBouncer to listen', () => {
      if (child.exitCode !== null) throw new Error(`it exited: ${said.join('')}`)
      return answers(port)
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { port, stop }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exited
}
