import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import type pg from 'pg'
import { buildApp } from './build-app.ts'
import { openDatabase, openPool } from './database/pool.ts'
import { release } from './database/release.ts'
import type { Database } from './database/schema.ts'
import { SEED_PASSWORD, SEED_USERS } from './database/seed.ts'
import type { Problem } from './problem.ts'
import type { TestDatabase } from './testing/database.ts'
import { makeTestDatabase } from './testing/database.ts'

let database: TestDatabase
let pool: pg.Pool
let db: Kysely<Database>
let app: FastifyInstance
let base: string

before(async () => {
  database = await makeTestDatabase()
  await release(database.url)
  pool = openPool({ url: database.url, max: 2 })
  db = openDatabase(pool)
  app = buildApp({ databaseUrl: database.url, logLevel: 'silent' })
  base = await app.listen({ host: '127.0.0.1', port: 0 })
})
beforeEach(() => pool.query('truncate security_events, user_activity, sessions'))
after(async () => {
  await app?.close()
  await pool?.end()
  await database?.remove()
})

interface Answer {
  readonly user: { readonly id: number; readonly username: string; readonly lastLoginAt: string | null }
}

function signIn(body: unknown): Promise<Response> {
  return fetch(`${base}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'the test' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

function me(cookie: string): Promise<Response> {
  return fetch(`${base}/me`, { headers: { cookie } })
}

function cookieOf(answer: Response): string {
  return answer.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
}

async function problemOf(answer: Response): Promise<Problem> {
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
  const body = (await answer.json()) as Problem
  assert.equal(body.status, answer.status)
  return body
}

test('the right password signs in: the user, the stamp, one row in each audit table', async () => {
  const answer = await signIn({ username: 'ada', password: SEED_PASSWORD })
  assert.equal(answer.status, 200)
  const { user } = (await answer.json()) as Answer
  assert.deepEqual(Object.keys(user), ['id', 'username', 'lastLoginAt'])
  assert.equal(user.username, 'ada')
  const row = await db.selectFrom('users').selectAll().where('username', '=', 'ada').executeTakeFirstOrThrow()
  assert.equal(user.lastLoginAt, row.last_login_at?.toISOString())
  const events = await db
    .selectFrom('security_events')
    .select(['event', 'user_id', 'username', 'ip', 'user_agent'])
    .execute()
  assert.deepEqual(events, [
    { event: 'login', user_id: row.id, username: 'ada', ip: '127.0.0.1', user_agent: 'the test' },
  ])
  const activity = await db.selectFrom('user_activity').select(['user_id', 'activity']).execute()
  assert.deepEqual(activity, [{ user_id: row.id, activity: 'login' }])
})

test('the session is a cookie no script can read, and the table holds only its hash', async () => {
  const answer = await signIn({ username: 'ada', password: SEED_PASSWORD })
  assert.match(
    answer.headers.get('set-cookie') ?? '',
    /^session=[\w-]{43}; Path=\/; Max-Age=86400; HttpOnly; SameSite=Lax$/,
  )
  const session = await db.selectFrom('sessions').selectAll().executeTakeFirstOrThrow()
  assert.equal(session.token_hash.length, 32)
  assert.ok(!cookieOf(answer).includes(session.token_hash.toString('base64url')))
  const days = (session.expires_at.getTime() - session.created_at.getTime()) / 86_400_000
  assert.equal(days, 1)
})

test('GET /me tells the user of the session', async () => {
  const answer = await signIn({ username: 'grace', password: SEED_PASSWORD })
  const mine = await me(`theme=dark; ${cookieOf(answer)}; lang=en`)
  assert.equal(mine.status, 200)
  assert.deepEqual(await mine.json(), await answer.json())
})

test('GET /me without a session, with a forged one, or with an expired one is 401', async () => {
  const cookie = cookieOf(await signIn({ username: 'grace', password: SEED_PASSWORD }))
  await pool.query(`update sessions set expires_at = now() - interval '1 second'`)
  for (const given of ['', 'session=', `session=${'A'.repeat(43)}`, 'session=../../etc', cookie]) {
    assert.equal((await problemOf(await me(given))).status, 401)
  }
})

test('POST /logout ends the session, is written down, and may be repeated', async () => {
  const cookie = cookieOf(await signIn({ username: 'linus', password: SEED_PASSWORD }))
  for (const _ of [1, 2]) {
    const answer = await fetch(`${base}/logout`, { method: 'POST', headers: { cookie } })
    assert.equal(answer.status, 204)
    assert.match(answer.headers.get('set-cookie') ?? '', /^session=; .*Max-Age=0/)
  }
  assert.equal((await me(cookie)).status, 401)
  const events = await db.selectFrom('security_events').select('event').orderBy('id').execute()
  assert.deepEqual(
    events.map(({ event }) => event),
    ['login', 'logout'],
  )
})

test('an expired session of a user goes when he signs in again', async () => {
  await signIn({ username: 'linus', password: SEED_PASSWORD })
  await pool.query(`update sessions set expires_at = now() - interval '1 second'`)
  await signIn({ username: 'linus', password: SEED_PASSWORD })
  assert.equal((await db.selectFrom('sessions').selectAll().execute()).length, 1)
})

test('a wrong password and an unknown name get the same 401, no cookie, and a login_failed event each', async () => {
  const wrong = await signIn({ username: 'ada', password: 'battery staple' })
  const unknown = await signIn({ username: 'nobody', password: SEED_PASSWORD })
  assert.equal(wrong.headers.get('set-cookie'), null)
  assert.deepEqual(await problemOf(wrong), await problemOf(unknown))
  assert.equal(wrong.status, 401)
  const events = await db.selectFrom('security_events').selectAll().orderBy('id').execute()
  assert.deepEqual(
    events.map(({ event, username, user_id }) => [event, username, user_id !== null]),
    [
      ['login_failed', 'ada', true],
      ['login_failed', 'nobody', false],
    ],
  )
  assert.equal((await db.selectFrom('user_activity').selectAll().execute()).length, 0)
})

test('a bad body is a 400 that says what is wrong, and leaves no trace', async () => {
  const bad: [unknown, RegExp][] = [
    ['{"username":', /not valid JSON/],
    ['[]', /must be object/],
    [{ username: 'ada' }, /'password'/],
    [{ username: 5, password: 'x' }, /#\/username.*must be string/],
    [{ username: '', password: 'x' }, /fewer than 1/],
    [{ username: 'a\u0000b', password: 'x' }, /must match pattern/],
    [{ username: 'ada', password: 'x'.repeat(1_025) }, /more than 1024/],
    [{ username: 'ada', password: 'x', admin: true }, /additional properties/],
  ]
  for (const [body, words] of bad) {
    const problem = await problemOf(await signIn(body))
    assert.equal(problem.status, 400)
    assert.match(
      `${problem.detail} ${problem.errors?.map(({ pointer, detail }) => `${pointer} ${detail}`).join()}`,
      words,
    )
  }
  assert.equal((await db.selectFrom('security_events').selectAll().execute()).length, 0)
})

test('the event loop is not blocked by scrypt: others are served while many sign in', async () => {
  const count = 12
  let pending = true
  const logins = Promise.all(
    SEED_USERS.slice(0, count).map(async (username) => (await signIn({ username, password: SEED_PASSWORD })).status),
  ).finally(() => {
    pending = false
  })
  let served = 0
  while (pending) {
    assert.equal((await fetch(`${base}/health`)).status, 200)
    served += 1
  }
  assert.deepEqual(await logins, Array(count).fill(200))
  // Hashed on the main thread, at most one other request gets a turn between two logins.
  assert.ok(served > 2 * count, `only ${served} other requests were served during ${count} logins`)
})

test('closing the app closes its database connections', async () => {
  const other = buildApp({ databaseUrl: database.url, logLevel: 'silent' })
  const open = async (): Promise<number> => {
    const { rows } = await pool.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where application_name = 'incidents' and datname = current_database()`,
    )
    return rows[0]?.n ?? 0
  }
  const had = await open()
  const payload = { username: 'ada', password: SEED_PASSWORD }
  assert.equal((await other.inject({ method: 'POST', url: '/login', payload })).statusCode, 200)
  assert.equal(await open(), had + 1)
  await other.close()
  // PostgreSQL ends the session a moment after the socket has closed.
  for (let tries = 0; tries < 500 && (await open()) > had; tries += 1);
  assert.equal(await open(), had)
})

test('a database that cannot be reached is a 503 that says so and nothing else', async () => {
  const lost = buildApp({ databaseUrl: 'postgres://secret:secret@127.0.0.1:1/none', logLevel: 'silent' })
  try {
    const answer = await lost.inject({ method: 'POST', url: '/login', payload: { username: 'ada', password: 'x' } })
    assert.equal(answer.statusCode, 503)
    assert.equal(answer.headers['retry-after'], '5')
    assert.doesNotMatch(answer.body, /secret|127\.0\.0\.1|ECONN/)
  } finally {
    await lost.close()
  }
})
