import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { Status } from '../../src/diagnostics/status.ts'
import { ms } from '../../src/resilience/duration.ts'
import { freePort } from '../process/support/free-port.ts'
import { formatMigrations, formatSeed } from './database/release-report.ts'
import { endProcess, identifyProcess } from './guardian/process-identity.ts'
import { waitUntil, within } from './guardian/wait-until.ts'
import { cacheText } from './starting/announce.ts'
import { makeTestDatabase } from './testing/database.ts'

const START = fileURLToPath(new URL('start.ts', import.meta.url))
/** A start may wait until an earlier one has drained and stopped its PostgreSQL. */
const TIMEOUT = ms(120_000)

let stateDir: string
before(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'incidents-start-'))
  chmodSync(stateDir, 0o755)
})
after(() => rmSync(stateDir, { recursive: true, force: true }))

interface Run {
  readonly child: ChildProcess
  readonly exited: Promise<number | null>
  readonly output: () => string
  /** What `npm start` itself printed under a topic: `app`, `cache`. */
  readonly said: (topic: string) => readonly string[]
  /** The lines of Punctual's log so far. */
  readonly log: () => readonly LogLine[]
}

interface LogLine {
  readonly event: string
  readonly [field: string]: unknown
}

function start(flags: readonly string[], databaseUrl?: string): Run {
  const { DATABASE_URL: _, REDIS_URL: __, npm_lifecycle_event: ___, ...env } = process.env
  if (databaseUrl !== undefined) env.DATABASE_URL = databaseUrl
  const args = ['--state-dir', stateDir, '--log-format', 'json', ...flags]
  const child = spawn(process.execPath, [START, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  child.stderr.on('data', (chunk) => {
    text += chunk
  })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const lines = (): readonly string[] => text.split('\n')
  return {
    child,
    exited,
    output: () => text,
    said: (topic) => lines().flatMap((line) => (line.startsWith(topic.padEnd(10)) ? [line.slice(10)] : [])),
    log: () => lines().flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as LogLine] : [])),
  }
}

/** The last line that a release step logged. */
function stepOutput(run: Run, step: string): string | undefined {
  return run
    .log()
    .filter((line) => line.event === 'release-step-output' && line.step === step)
    .map(({ line }) => String(line))
    .at(-1)
}

function stepsDone(run: Run): readonly unknown[] {
  return run
    .log()
    .filter(({ event }) => event === 'release-step-done')
    .map(({ step }) => step)
}

async function releaseState(admin: number): Promise<string | undefined> {
  const status = (await (await fetch(`http://127.0.0.1:${admin}/status`)).json()) as Partial<Status>
  return status.release?.state
}

async function untilReady(run: Run): Promise<void> {
  const ready = await waitUntil(() => run.said('stop').length > 0 || run.child.exitCode !== null, TIMEOUT, ms(50))
  assert.ok(ready && run.child.exitCode === null, run.output())
}

/** Kills what is left of them. */
async function end(...runs: readonly (Run | undefined)[]): Promise<void> {
  for (const run of runs) await endProcess(run?.child.pid ?? 0, [{ signal: 'SIGKILL', timeout: TIMEOUT }])
}

async function freePorts(): Promise<{ port: number; admin: number; flags: string[] }> {
  const [port, admin] = [await freePort(), await freePort()]
  return { port, admin, flags: ['--port', String(port), '--admin-port', String(admin)] }
}

interface Pids {
  readonly guardian: number
  readonly postgres: number
  readonly workers: readonly number[]
  readonly punctual: number
}

async function pidsOf(admin: number): Promise<Pids> {
  const status = (await (await fetch(`http://127.0.0.1:${admin}/status`)).json()) as {
    pid: number
    workers: { pid: number }[]
  }
  return {
    guardian: (JSON.parse(readFileSync(join(stateDir, 'postgres/lock'), 'utf8')) as { pid: number }).pid,
    postgres: Number.parseInt(readFileSync(join(stateDir, 'postgres/data/postmaster.pid'), 'utf8'), 10),
    workers: status.workers.map(({ pid }) => pid),
    punctual: status.pid,
  }
}

async function assertGone({ guardian, postgres, workers, punctual }: Pids): Promise<void> {
  for (const pid of [punctual, ...workers, postgres, guardian]) {
    assert.ok(await waitUntil(() => identifyProcess(pid) === undefined, TIMEOUT, ms(50)), `process ${pid} is left`)
  }
}

async function login(port: number): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ username: 'ada', password: 'correct horse' }),
    signal: AbortSignal.timeout(30_000),
  })
}

test('npm start serves the login with two workers, prints what it did, and leaves no process after SIGTERM', async () => {
  const { port, admin, flags } = await freePorts()
  const run = start(flags)
  try {
    await untilReady(run)
    assert.equal((await login(port)).status, 200)
    const discussion = await fetch(`http://127.0.0.1:${port}/discussions/7?source=messaging`)
    assert.equal(((await discussion.json()) as { source: string }).source, 'issue')
    const faults = await fetch(`http://127.0.0.1:${port}/try/faults`)
    assert.ok(((await faults.json()) as { queries: number }).queries > 0)
    const pids = await pidsOf(admin)
    assert.equal(pids.workers.length, 2)
    assert.equal(stepOutput(run, 'migrate')?.match(/\d{4}-[\w-]+/g)?.length, 5)
    assert.match(stepOutput(run, 'seed') ?? '', /\b550\b/)
    assert.deepEqual(stepsDone(run), ['migrate', 'seed'])
    assert.equal(run.said('release').length, 1)
    assert.deepEqual(run.said('cache'), [cacheText(undefined)])
    assert.ok(run.said('app')[0]?.startsWith(`http://127.0.0.1:${port}/`))
    assert.ok(run.said('admin')[0]?.startsWith(`http://127.0.0.1:${admin}/status`))

    const others = await freePorts()
    const second = start(others.flags)
    assert.equal(await within(TIMEOUT, 'the second start', second.exited), 1)
    assert.ok(second.output().includes('(DATABASE_IN_USE)'), second.output())
    assert.match(second.output(), new RegExp(`\\b${run.child.pid}\\b`))

    run.child.kill('SIGTERM')
    assert.equal(await within(TIMEOUT, 'the stop', run.exited), 0)
    await assertGone(pids)
  } finally {
    await end(run)
  }
})

test('npm start leaves no process after SIGKILL; the next one finds the data and migrates nothing', async () => {
  const first = await freePorts()
  const killed = start(first.flags)
  let run: Run | undefined
  try {
    await untilReady(killed)
    const pids = await pidsOf(first.admin)
    killed.child.kill('SIGKILL')
    const { port, admin, flags } = await freePorts()
    run = start(flags)
    await untilReady(run)
    await assertGone(pids)
    // A clean commit is known to be released; otherwise the steps check what is missing.
    const migrate = stepOutput(run, 'migrate')
    if (migrate !== undefined) {
      const database = migrate.split(':')[0] ?? ''
      assert.equal(migrate, formatMigrations({ database, migrations: [], migrationMs: 0 }))
      assert.equal(stepOutput(run, 'seed'), formatSeed({ seeded: 0, seedMs: 0 }))
    } else assert.equal(await releaseState(admin), 'skipped')
    assert.equal((await login(port)).status, 200)
    const mine = await pidsOf(admin)
    run.child.kill('SIGINT')
    assert.equal(await within(TIMEOUT, 'the stop', run.exited), 0)
    await assertGone(mine)
  } finally {
    await end(killed, run)
  }
})

test('the release before a config file of your own ends with npm start, even if that is killed', async () => {
  const database = await makeTestDatabase()
  const client = new pg.Client({ connectionString: database.url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  const config = join(stateDir, 'mine.config.mjs')
  writeFileSync(config, 'export default {}\n')
  const releases = async (): Promise<number> => {
    const { rowCount } = await client.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)
    return rowCount ?? 0
  }
  const run = (): Run => start(['--config', config], database.url)
  let killed: Run | undefined
  let stopped: Run | undefined
  try {
    // The lock that Kysely migrates under.
    await client.query('select pg_advisory_lock(3853314791062309107)')
    killed = run()
    assert.ok(await waitUntil(async () => (await releases()) > 0, TIMEOUT, ms(50)), killed.output())
    killed.child.kill('SIGKILL')
    assert.ok(await waitUntil(async () => (await releases()) === 0, TIMEOUT, ms(50)), 'the release goes on')

    stopped = run()
    assert.ok(await waitUntil(async () => (await releases()) > 0, TIMEOUT, ms(50)), stopped.output())
    stopped.child.kill('SIGHUP')
    stopped.child.kill('SIGTERM')
    assert.equal(await within(TIMEOUT, 'the stop', stopped.exited), 143, stopped.output())
    assert.equal(await releases(), 0)
  } finally {
    await end(killed, stopped)
    await client.end()
    await database.remove()
  }
})

test('over SQLite only the login is served, without PostgreSQL, and the start and the page say so', async () => {
  const { port, admin, flags } = await freePorts()
  const file = join(stateDir, 'sqlite', 'login.db')
  const run = start(flags, `sqlite:${relative(process.cwd(), file)}`)
  const at = (path: string) => `http://127.0.0.1:${port}${path}`
  try {
    await untilReady(run)
    const database = run.said('database').join('\n')
    for (const word of [file, '/api/auth', '/before/api/auth']) assert.ok(database.includes(word), database)
    assert.match(stepOutput(run, 'migrate') ?? '', /^SQLite 3\./)
    assert.equal(stepOutput(run, 'migrate')?.match(/\d{4}-[\w-]+/g)?.length, 3)
    assert.match(stepOutput(run, 'seed') ?? '', /\b50\b/)
    const signedIn = await login(port)
    assert.equal(signedIn.status, 200)
    const cookie = signedIn.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
    // Either worker may respond: they share the file.
    for (let tries = 0; tries < 6; tries += 1) {
      assert.equal((await fetch(at('/me'), { headers: { cookie, connection: 'close' } })).status, 200)
    }
    assert.equal((await fetch(at('/logout'), { method: 'POST', headers: { cookie } })).status, 204)
    assert.equal((await fetch(at('/me'), { headers: { cookie } })).status, 401)
    for (const path of ['/api/auth', '/before/api/auth']) {
      assert.equal((await fetch(at(path), { method: 'POST' })).status, 404)
    }
    assert.match(await (await fetch(at('/'))).text(), /<body data-database="sqlite">/)

    const order = (faults: object) =>
      fetch(at('/try/faults'), {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(faults),
      })
    assert.equal((await order({ hangTable: 'users', hangFor: 60_000 })).status, 200)
    const kept = await login(port)
    assert.equal(kept.status, 503)
    assert.match(kept.headers.get('content-type') ?? '', /^application\/problem\+json/)
    assert.equal((await order({})).status, 200)
    assert.equal((await login(port)).status, 200)

    const status = (await (await fetch(`http://127.0.0.1:${admin}/status`)).json()) as { workers: { pid: number }[] }
    run.child.kill('SIGTERM')
    assert.equal(await within(TIMEOUT, 'the stop', run.exited), 0)
    for (const { pid } of status.workers) assert.equal(identifyProcess(pid), undefined)
  } finally {
    await end(run)
  }
})

test('an invalid DATABASE_URL ends npm start, and the app alone, with one line', async () => {
  const app = fileURLToPath(new URL('app.ts', import.meta.url))
  for (const url of ['sqlite:', 'sqlite::memory:', 'mysql://me:secret@db/app']) {
    const run = start([], url)
    assert.equal(await within(TIMEOUT, 'the rejection', run.exited), 2)
    assert.match(run.output(), /^npm start: DATABASE_URL .*\(SETTING_INVALID\)\.\n$/)
    assert.doesNotMatch(run.output(), /secret/)
    const alone = spawnSync(process.execPath, [app], { env: { ...process.env, DATABASE_URL: url }, encoding: 'utf8' })
    assert.equal(alone.status, 2)
    assert.match(alone.stderr, /^DATABASE_URL .*\(SETTING_INVALID\)\.\n$/)
  }
})

test('a port in use ends npm start before anything is started', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  try {
    const run = start(['--port', String(port), '--admin-port', '0'])
    assert.equal(await within(TIMEOUT, 'the rejection', run.exited), 2)
    assert.ok(run.output().includes(String(port)) && run.output().includes('(PORT_TAKEN)'), run.output())
  } finally {
    await new Promise((resolve) => other.close(resolve))
  }
})

test('an unreachable database is named, without its password', async () => {
  const { flags } = await freePorts()
  const run = start(flags, 'postgres://me:secret@127.0.0.1:1/app')
  assert.equal(await within(TIMEOUT, 'the rejection', run.exited), 4)
  assert.match(run.output(), /^punctual: .*127\.0\.0\.1:1\/app.*ECONNREFUSED.*\(PUNCTUAL_RELEASE_FAILED\)$/m)
  assert.match(run.output(), /^npm start: .*127\.0\.0\.1:1\/app.*DATABASE_URL/m)
  assert.doesNotMatch(run.output(), /secret/)
})
