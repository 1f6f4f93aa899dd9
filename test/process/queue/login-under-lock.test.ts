import assert from 'node:assert/strict'
import { randomBytes, scryptSync } from 'node:crypto'
import http from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { QueuesReport } from '../../../src/queue/queue-report.ts'
import { release } from '../../reference-app/database/release.ts'
import { makeTestDatabase, type TestDatabase } from '../../reference-app/testing/database.ts'
import { type Outcome, request, wordOf } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** The first incident as a test. `LOCK_SECONDS=30 LOGINS=1000 AT_ONCE=100` for the long form. */
const LOCK = Number(process.env.LOCK_SECONDS ?? 5) * 1_000
const LOGINS = Number(process.env.LOGINS ?? 200)
const AT_ONCE = Number(process.env.AT_ONCE ?? 20)
const IS_LONG = process.env.LOCK_SECONDS !== undefined
/**
 * The limit for p99 under the lock: twice the quiet one. In a short run a single pause decides, so
 * the limit only excludes waiting for the lock.
 */
const mostOf = (quiet: number): number => (IS_LONG ? 2 * quiet : Math.max(4 * quiet, LOCK / 5))
const WARM = AT_ONCE * 5
const USERS = 200
const PASSWORD = 'correct horse'
const ENTRY = join(import.meta.dirname, '../../reference-app/app.ts')

let database: TestDatabase
let db: pg.Pool
let server: TestServer

before(async () => {
  database = await makeTestDatabase()
  await release(database.url)
  db = new pg.Pool({ connectionString: database.url, max: 4 })
  db.on('error', () => {})
  // Password hashing is not measured: it takes 2 ms here instead of 30.
  const salt = randomBytes(16)
  const hash = scryptSync(PASSWORD, salt, 32, { N: 1024, r: 8, p: 1 })
  const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')
  await db.query(`insert into users (username, password_hash) select 'user' || n, $1 from generate_series(1, $2) n`, [
    `$scrypt$ln=10,r=8,p=1$${text(salt)}$${text(hash)}`,
    USERS,
  ])
  server = await startServer({ entry: ENTRY, settings: { workers: 2 }, env: { DATABASE_URL: database.url } })
})
after(async () => {
  await server?.[Symbol.asyncDispose]()
  await db?.end()
  await database?.remove()
})

function login(path: string, agent: http.Agent | false, mark: string, number: number): Promise<Outcome> {
  return request(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': `${mark} ${number}` },
    body: JSON.stringify({ username: `user${1 + (number % USERS)}`, password: PASSWORD }),
    agent,
    limit: LOCK + 60_000,
  })
}

/** Logs in `logins` times, `AT_ONCE` at a time. A user agent identifies the rows of each. */
async function load(mark: string, logins: number): Promise<readonly number[]> {
  const times: number[] = []
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      while (next < logins) {
        const answer = await login('/login', agent, mark, next++)
        assert.equal(wordOf(answer), '200', `${answer.body} ${answer.why}`)
        times.push(answer.tookMs)
      }
      agent.destroy()
    }),
  )
  return times.toSorted((one, other) => one - other)
}

function p99(times: readonly number[]): number {
  return times[Math.ceil(times.length * 0.99) - 1] ?? 0
}

async function eventsOf(mark: string): Promise<readonly string[]> {
  const { rows } = await db.query(`select user_agent from security_events where user_agent like $1`, [`${mark} %`])
  return rows.map(({ user_agent }) => user_agent)
}

async function depth(): Promise<number> {
  const { workers } = await server.status()
  const reports = workers.map(({ modules }) => modules.queue as QueuesReport | undefined)
  return reports.flatMap((report) => Object.values(report?.queues ?? {})).reduce((sum, queue) => sum + queue.depth, 0)
}

/** Waits until each event is written once, and nothing is left. */
async function allWritten(mark: string, logins: number): Promise<void> {
  const written = async (): Promise<boolean> => (await eventsOf(mark)).length >= logins && (await depth()) === 0
  await until('all events to be written', written, LOCK + 60_000)
  const events = await eventsOf(mark)
  assert.deepEqual([events.length, new Set(events).size], [logins, logins])
}

/** Locks both audit tables in another session. */
async function lockAudit(): Promise<() => Promise<void>> {
  const holder = await db.connect()
  await holder.query('begin; lock table security_events, user_activity in access exclusive mode')
  return async () => {
    await holder.query('commit')
    holder.release()
  }
}

test(`while both audit tables are locked for ${LOCK / 1_000} s, ${LOGINS} logins at ${AT_ONCE} at a time are as fast as ever, and every event is written once`, async (context) => {
  await load('warm', WARM)
  const quiet = await load('quiet', LOGINS)
  await until('the queues to be empty', async () => (await depth()) === 0)
  await until('all events of the quiet run', async () => (await eventsOf('quiet')).length === LOGINS)

  const unlock = await lockAudit()
  const lockedAt = performance.now()
  const waiting = [0, 1, 2].map((number) => login('/before/login', false, 'before', number))
  let waited = 0
  for (const answer of waiting) void answer.then(() => waited++)
  const locked = await load('locked', LOGINS)
  const tookMs = performance.now() - lockedAt
  assert.equal(waited, 0, 'one that waits for its audit was answered before the table was free')
  await until('the queue to be reported', async () => (await depth()) >= LOGINS)
  await sleep(Math.max(0, LOCK - (performance.now() - lockedAt)))
  const heldMs = performance.now() - lockedAt
  await unlock()

  const answers = await Promise.all(waiting)
  for (const answer of answers) {
    // Every request ends at its deadline of 30 s.
    const [word, took] = [wordOf(answer), answer.tookMs]
    assert.ok(took >= Math.min(heldMs, 29_000) - 500, `${word} after ${took} ms, before its rows could be written`)
    if (LOCK < 20_000) assert.equal(word, '200', answer.body)
  }
  await allWritten('locked', LOGINS)
  // Rows of `before` have other ids.
  const activity = async (): Promise<number> => {
    const { rows } = await db.query('select count(*)::int as n from user_activity where length(id) = 26')
    return rows[0].n
  }
  await until('all activity to be written', async () => (await activity()) >= WARM + 2 * LOGINS)
  assert.equal(await activity(), WARM + 2 * LOGINS)

  const figures = `quiet p50 ${p50(quiet)} ms, p99 ${Math.round(p99(quiet))} ms; locked p50 ${p50(locked)} ms, p99 ${Math.round(p99(locked))} ms (${Math.round(tookMs)} ms in all); before: ${answers.map((answer) => `${wordOf(answer)} after ${Math.round(answer.tookMs)} ms`).join(', ')}`
  context.diagnostic(figures)
  assert.ok(p99(locked) <= mostOf(p99(quiet)), figures)
  // The limit of 500 ms is for a machine that can serve 100 at a time, as the quiet run shows.
  if (IS_LONG && p99(quiet) < 250) assert.ok(p99(locked) < 500, figures)
})

test('a worker that is killed while the audit tables are locked loses no event', async () => {
  const logins = AT_ONCE * 2
  const unlock = await lockAudit()
  try {
    await load('killed', logins)
    for (const { pid, state } of (await server.status()).workers)
      if (state === 'ready' && pid) process.kill(pid, 'SIGKILL')
  } finally {
    await unlock()
  }
  await allWritten('killed', logins)
})

function p50(times: readonly number[]): number {
  return Math.round(times[Math.floor(times.length / 2)] ?? 0)
}
