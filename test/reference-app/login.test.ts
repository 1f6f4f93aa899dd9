import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './build-app.ts'
import { release } from './database/release.ts'
import { SEED_PASSWORD, SEED_USERS } from './database/seed.ts'
import type { Problem } from './problem.ts'
import { type LoginDatabase, openPostgresForTest, openSqliteForTest } from './testing/login-database.ts'

interface Answer {
  readonly user: { readonly id: number; readonly username: string; readonly lastLoginAt: string | null }
}

const EXPIRE_SESSIONS = `update sessions set expires_at = '2000-01-01T00:00:00.000Z'`

function cookieOf(answer: Response): string {
  return answer.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
}

async function problemOf(answer: Response): Promise<Problem> {
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
  const body = (await answer.json()) as Problem
  assert.equal(body.status, answer.status)
  return body
}

/** PostgreSQL returns a Date, SQLite a string. */
function timeOf(value: unknown): Date {
  assert.ok(value instanceof Date || typeof value === 'string', `a time is ${typeof value}`)
  return new Date(value)
}

/** Retries every 20 ms, for at most 20 s. */
async function becomes(holds: () => Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    if (await holds()) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return false
}

for (const [name, open] of [
  ['PostgreSQL', openPostgresForTest],
  ['SQLite', openSqliteForTest],
] as const) {
  describe(`over ${name}`, () => contract(open))
}

/** The contract of the login over any database. */
function contract(open: () => Promise<LoginDatabase>): void {
  let database: LoginDatabase
  let app: FastifyInstance
  let base: string
  let begunAt: string

  before(async () => {
    database = await open()
    await release(database.url)
    app = buildApp({ databaseUrl: database.url, logLevel: 'silent' })
    base = await app.listen({ host: '127.0.0.1', port: 0 })
  })
  beforeEach(async () => {
    await ask('delete from sessions')
    // Deferred rows of earlier tests may still arrive; their time tells them apart.
    begunAt = new Date().toISOString()
  })
  after(async () => {
    await app?.close()
    await database?.remove()
  })

  const ask = (sql: string): Promise<readonly Record<string, unknown>[]> => database.ask(sql)

  /** Waits for so many rows of this test, oldest first. */
  async function audited(table: 'security_events' | 'user_activity', count: number) {
    const rows = () => ask(`select * from ${table} where created_at >= '${begunAt}' order by created_at, id`)
    assert.ok(await becomes(async () => (await rows()).length >= count), `too few rows in ${table}`)
    return rows()
  }

  function signIn(body: unknown, path = '/login'): Promise<Response> {
    return fetch(`${base}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'the test' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  }

  function me(cookie: string): Promise<Response> {
    return fetch(`${base}/me`, { headers: { cookie } })
  }

  test('the right password signs in: the user, the time, one row in each audit table', async () => {
    const answer = await signIn({ username: 'ada', password: SEED_PASSWORD })
    assert.equal(answer.status, 200)
    const { user } = (await answer.json()) as Answer
    assert.deepEqual(Object.keys(user), ['id', 'username', 'lastLoginAt'])
    assert.equal(user.username, 'ada')
    const [row] = await ask(`select id, last_login_at from users where username = 'ada'`)
    assert.equal(user.id, row?.id)
    assert.equal(user.lastLoginAt, timeOf(row?.last_login_at).toISOString())
    const events = await audited('security_events', 1)
    assert.deepEqual(
      events.map(({ id, created_at, ...event }) => event),
      [{ event: 'login', user_id: user.id, username: 'ada', ip: '127.0.0.1', user_agent: 'the test' }],
    )
    const activity = await audited('user_activity', 1)
    assert.deepEqual(
      activity.map(({ user_id, activity: kind }) => [user_id, kind]),
      [[user.id, 'login']],
    )
  })

  test('before: the same responses, with both rows written before the response', async () => {
    const answer = await signIn({ username: 'ada', password: SEED_PASSWORD }, '/before/login')
    assert.equal(answer.status, 200)
    const rows = async (table: string) => (await ask(`select * from ${table} where created_at >= '${begunAt}'`)).length
    assert.deepEqual([await rows('security_events'), await rows('user_activity')], [1, 1])
    assert.equal((await me(cookieOf(answer))).status, 200)
    assert.equal((await signIn({ username: 'ada', password: 'x' }, '/before/login')).status, 401)
    assert.equal(await rows('security_events'), 2)
  })

  test('an audit row of a deleted user blocks no other row', async () => {
    await ask(
      `insert into users (username, password_hash) select 'guest', password_hash from users where username = 'ada'`,
    )
    assert.equal((await signIn({ username: 'guest', password: SEED_PASSWORD })).status, 200)
    await ask(`delete from users where username = 'guest'`)
    const [event] = await audited('security_events', 1)
    assert.deepEqual([event?.username, event?.user_id], ['guest', null])
    assert.equal((await signIn({ username: 'ada', password: SEED_PASSWORD })).status, 200)
    assert.equal((await audited('user_activity', 1)).length, 1)
  })

  test('the session is a cookie that scripts cannot read, and the table only has its hash', async () => {
    const answer = await signIn({ username: 'ada', password: SEED_PASSWORD })
    assert.match(
      answer.headers.get('set-cookie') ?? '',
      /^session=[\w-]{43}; Path=\/; Max-Age=86400; HttpOnly; SameSite=Lax$/,
    )
    const [session] = await ask('select * from sessions')
    const hash = Buffer.from(session?.token_hash as Uint8Array)
    assert.equal(hash.length, 32)
    assert.ok(!cookieOf(answer).includes(hash.toString('base64url')))
    const days = (timeOf(session?.expires_at).getTime() - timeOf(session?.created_at).getTime()) / 86_400_000
    assert.equal(days, 1)
  })

  test('GET /me returns the user of the session', async () => {
    const answer = await signIn({ username: 'grace', password: SEED_PASSWORD })
    const mine = await me(`theme=dark; ${cookieOf(answer)}; lang=en`)
    assert.equal(mine.status, 200)
    assert.deepEqual(await mine.json(), await answer.json())
  })

  test('GET /me without a session, with a forged one, or with an expired one is 401', async () => {
    const cookie = cookieOf(await signIn({ username: 'grace', password: SEED_PASSWORD }))
    await ask(EXPIRE_SESSIONS)
    for (const given of ['', 'session=', `session=${'A'.repeat(43)}`, 'session=../../etc', cookie]) {
      assert.equal((await problemOf(await me(given))).status, 401)
    }
  })

  test('POST /logout ends the session, is recorded, and can be repeated', async () => {
    const cookie = cookieOf(await signIn({ username: 'linus', password: SEED_PASSWORD }))
    for (const _ of [1, 2]) {
      const answer = await fetch(`${base}/logout`, { method: 'POST', headers: { cookie } })
      assert.equal(answer.status, 204)
      assert.match(answer.headers.get('set-cookie') ?? '', /^session=; .*Max-Age=0/)
    }
    assert.equal((await me(cookie)).status, 401)
    const events = await audited('security_events', 2)
    assert.deepEqual(
      events.map(({ event }) => event),
      ['login', 'logout'],
    )
  })

  test('an expired session is deleted when its user signs in again', async () => {
    await signIn({ username: 'linus', password: SEED_PASSWORD })
    await ask(EXPIRE_SESSIONS)
    await signIn({ username: 'linus', password: SEED_PASSWORD })
    assert.equal((await ask('select * from sessions')).length, 1)
  })

  test('a wrong password and an unknown name get the same 401, no cookie, and a login_failed event each', async () => {
    const wrong = await signIn({ username: 'ada', password: 'battery staple' })
    const unknown = await signIn({ username: 'unknown', password: SEED_PASSWORD })
    assert.equal(wrong.headers.get('set-cookie'), null)
    assert.deepEqual(await problemOf(wrong), await problemOf(unknown))
    assert.equal(wrong.status, 401)
    const events = await audited('security_events', 2)
    assert.deepEqual(
      events.map(({ event, username, user_id }) => [event, username, user_id !== null]),
      [
        ['login_failed', 'ada', true],
        ['login_failed', 'unknown', false],
      ],
    )
    assert.equal((await audited('user_activity', 0)).length, 0)
  })

  test('an invalid body is a 400 that says what is wrong, and is not recorded', async () => {
    const unreadable = await problemOf(await signIn('{"username":'))
    assert.deepEqual([unreadable.status, unreadable.code], [400, 'FST_ERR_CTP_INVALID_JSON_BODY'])
    const bad: [unknown, pointer: string, rule: string][] = [
      ['[]', '#', 'type'],
      [{ username: 'ada' }, '#', 'required'],
      [{ username: 5, password: 'x' }, '#/username', 'type'],
      [{ username: '', password: 'x' }, '#/username', 'minLength'],
      [{ username: 'a\u0000b', password: 'x' }, '#/username', 'pattern'],
      [{ username: 'ada', password: 'x'.repeat(1_025) }, '#/password', 'maxLength'],
      [{ username: 'ada', password: 'x', admin: true }, '#', 'additionalProperties'],
    ]
    for (const [body, pointer, rule] of bad) {
      const { status, errors } = await problemOf(await signIn(body))
      assert.equal(status, 400)
      assert.deepEqual(
        errors?.map((error) => [error.pointer, error.rule]),
        [[pointer, rule]],
      )
    }
    assert.equal((await audited('security_events', 0)).length, 0)
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
    // Hashing on the main thread would let at most one other request run between two logins.
    assert.ok(served > 2 * count, `only ${served} other requests were served during ${count} logins`)
  })

  test('closing the app closes its database connections', async () => {
    await release(database.apartUrl)
    const other = buildApp({ databaseUrl: database.apartUrl, logLevel: 'silent' })
    const had = await database.connections()
    const payload = { username: 'ada', password: SEED_PASSWORD }
    assert.equal((await other.inject({ method: 'POST', url: '/login', payload })).statusCode, 200)
    assert.ok((await database.connections()) > had)
    await other.close()
    // Connections end shortly after the app has closed them.
    const ended = async (): Promise<boolean> => (await database.connections()) === had
    assert.ok(await becomes(ended), 'connections are left')
  })

  test('an unreachable database is a 503 that reveals nothing else', async () => {
    const lost = buildApp({ databaseUrl: database.lostUrl, logLevel: 'silent' })
    try {
      const answer = await lost.inject({ method: 'POST', url: '/login', payload: { username: 'ada', password: 'x' } })
      assert.equal(answer.statusCode, 503)
      assert.equal(answer.headers['retry-after'], '5')
      assert.doesNotMatch(answer.body, /secret|127\.0\.0\.1|ECONN|SQLITE|nowhere/)
    } finally {
      await lost.close()
    }
  })

  test('a login blocked by the database is a 503 at its timeout; others are served, and then the login too', async () => {
    const hurried = buildApp({ databaseUrl: database.url, logLevel: 'silent', loginTimeout: '300ms' })
    const payload = { username: 'ada', password: SEED_PASSWORD }
    const login = () => hurried.inject({ method: 'POST', url: '/login', payload })
    // Connects and starts the threads, so that the timeout only covers the lock.
    let cookie = ''
    const signedIn = async (): Promise<boolean> => {
      const { statusCode, headers } = await login()
      cookie = String(headers['set-cookie']).split(';', 1)[0] ?? ''
      return statusCode === 200
    }
    assert.ok(await becomes(signedIn), 'the login never works')
    const lock = await database.lock()
    try {
      let pending = true
      const kept = Promise.all([login(), login(), login()]).finally(() => {
        pending = false
      })
      let served = 0
      while (pending) {
        assert.equal((await hurried.inject('/health')).statusCode, 200)
        // One turn of the event loop, which a request over the network would take; `inject` needs
        // none.
        await new Promise((resolve) => setImmediate(resolve))
        served += 1
      }
      for (const answer of await kept) {
        assert.equal(answer.statusCode, 503, answer.body)
        assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
        assert.equal(answer.json().type, 'urn:punctual:error:wait-timeout')
        assert.ok(Number(answer.headers['retry-after']) > 0)
        assert.equal(answer.headers['set-cookie'], undefined)
      }
      assert.ok(lock.held(), 'they were answered because the lock was gone')
      assert.ok(served > 10, `the loop turned only ${served} times`)
      const expected = database.lockedReads ? 200 : 503
      const mine = async (): Promise<boolean> =>
        (await hurried.inject({ url: '/me', headers: { cookie } })).statusCode === expected
      // Reads that are not blocked may still time out on a busy machine.
      assert.ok(await becomes(mine), `the session is no ${expected}`)
      assert.ok(lock.held(), 'the session was read because the lock was gone')
      await lock.release()
      assert.ok(await becomes(signedIn), 'the login does not come back')
    } finally {
      await lock.release()
      await hurried.close()
    }
  })
}
