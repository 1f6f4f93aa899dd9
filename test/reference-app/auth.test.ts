import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, afterEach, before, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import type pg from 'pg'
import { ms } from '../../src/resilience/duration.ts'
import { createAuthAfter } from './auth/after.ts'
import { authTimeouts } from './auth/auth-timeouts.ts'
import type { Identity, SignedIn } from './auth/contract.ts'
import { rememberUsers } from './auth/known-users.ts'
import { openLetters } from './auth/send-letters.ts'
import { buildApp } from './build-app.ts'
import { openDatabase, openPool } from './database/pool.ts'
import { release } from './database/release.ts'
import type { Database } from './database/schema.ts'
import { seededAuthUser } from './database/seed-auth.ts'
import { waitUntil } from './guardian/wait-until.ts'
import { type Outside, startOutside } from './outside/outside.ts'
import type { Problem } from './problem.ts'
import { WaitTimeoutError, withDeadline } from './punctual.ts'
import { makeTestDatabase, type TestDatabase } from './testing/database.ts'

const PATHS = { before: '/before/api/auth', after: '/api/auth' } as const
/** Longer than any test, so that no response can be due to its end. */
const LONG_HANG = 120_000

let database: TestDatabase
let outside: Outside
let pool: pg.Pool
let db: Kysely<Database>
let app: FastifyInstance
let base: string

before(async () => {
  database = await makeTestDatabase()
  await release(database.url)
  outside = await startOutside(database.url)
  // Bypasses the proxy: queries of the tests are not counted.
  pool = openPool({ url: database.url, max: 2 })
  db = openDatabase(pool)
  app = buildApp({ databaseUrl: outside.databaseUrl, smtpUrl: outside.smtpUrl, logLevel: 'silent' })
  base = await app.listen({ host: '127.0.0.1', port: 0 })
})
afterEach(() => outside?.order({}))
after(async () => {
  await app?.close()
  await outside?.close()
  await pool?.end()
  await database?.remove()
})

function ask(path: string, body: object): Promise<Response> {
  return fetch(`${base}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(LONG_HANG),
  })
}

async function auth(path: string, identity: Identity): Promise<SignedIn> {
  const answer = await ask(path, identity)
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  return JSON.parse(text) as SignedIn
}

function seeded(number: number): Identity {
  const { privyId, username, email } = seededAuthUser(number)
  return { privyId, username, email }
}

function stranger(): Identity {
  const name = randomBytes(6).toString('hex')
  return { privyId: `did:privy:${name}`, username: `new_${name}`, email: `${name}@example.org` }
}

function rowOf(username: string) {
  return db.selectFrom('auth_users').selectAll().where('username', '=', username).executeTakeFirstOrThrow()
}

async function queriesOf(path: string, identity: Identity): Promise<number> {
  const before = outside.status().queries ?? 0
  await auth(path, identity)
  return (outside.status().queries ?? 0) - before
}

/** Waits until no earlier deferred work sends queries. */
async function quiet(): Promise<void> {
  let [seen, times] = [-1, 0]
  const still = async (): Promise<boolean> => {
    const queries = outside.status().queries ?? 0
    times = queries === seen ? times + 1 : 0
    seen = queries
    return times === 10
  }
  assert.ok(await waitUntil(still, ms(30_000), ms(20)), 'queries go on and on')
}

/** Waits until the deferred work of a sign-up is done. */
async function referred(username: string): Promise<void> {
  const sent = async (): Promise<boolean> => {
    const { id } = await rowOf(username)
    const letters = await db.selectFrom('email_outbox').select('sent_at').where('about_user_id', '=', id).execute()
    return letters.length > 0 && letters.every(({ sent_at }) => sent_at !== null)
  }
  assert.ok(await waitUntil(sent, ms(30_000), ms(20)), 'the referral was not seen to')
}

for (const [name, path] of Object.entries(PATHS)) {
  test(`${name}: a returning user gets their data and keys, and last_seen_at is updated`, async () => {
    const identity = seeded(7)
    const earlier = (await rowOf(identity.username)).last_seen_at
    await db
      .insertInto('api_keys')
      .values({
        user_id: (await rowOf(identity.username)).id,
        prefix: 'pk_gone',
        key_hash: randomBytes(32),
        revoked_at: new Date(0),
      })
      .execute()
    const answer = await auth(path, identity)
    const row = await rowOf(identity.username)
    assert.deepEqual(answer.user, { id: row.id, username: row.username, referralCode: 'REF0007', isNew: false })
    assert.ok(Number(row.last_seen_at) > Number(earlier ?? 0))
    const keys = await db.selectFrom('api_keys').selectAll().where('user_id', '=', row.id).orderBy('id').execute()
    assert.deepEqual(
      answer.apiKeys,
      keys
        .filter(({ revoked_at }) => revoked_at === null)
        .map((key) => ({ id: key.id, prefix: key.prefix, createdAt: key.created_at.toISOString() })),
    )
    assert.equal(answer.apiKeys.length, 3)
    assert.deepEqual([answer.newApiKey, answer.referral, answer.degraded], [null, null, false])
  })

  test(`${name}: a new user is signed up, with a key shown once and stored as a hash`, async () => {
    const identity = stranger()
    const first = await auth(path, identity)
    assert.equal(first.user.isNew, true)
    assert.match(first.newApiKey ?? '', /^pk_[\w-]{43}$/)
    const key = await db
      .selectFrom('api_keys')
      .selectAll()
      .where('user_id', '=', first.user.id)
      .executeTakeFirstOrThrow()
    assert.deepEqual(
      key.key_hash,
      createHash('sha256')
        .update(first.newApiKey ?? '')
        .digest(),
    )
    assert.deepEqual(
      first.apiKeys.map(({ id }) => id),
      [key.id],
    )
    const second = await auth(path, identity)
    assert.deepEqual(second.user, { ...first.user, isNew: false })
    assert.deepEqual([second.apiKeys, second.newApiKey], [first.apiKeys, null])
  })

  test(`${name}: a user from before the identity provider is found by name, and linked`, async () => {
    const identity = seeded(name === 'before' ? 10 : 20)
    assert.equal((await rowOf(identity.username)).privy_id, null)
    const answer = await auth(path, identity)
    const row = await rowOf(identity.username)
    assert.deepEqual([answer.user.id, answer.user.isNew, row.privy_id], [row.id, false, identity.privyId])
  })

  test(`${name}: a name that belongs to another identity is a 409 and changes nothing`, async () => {
    const mine = seeded(3)
    const row = await rowOf(mine.username)
    const answer = await ask(path, { ...stranger(), username: mine.username })
    assert.equal(answer.status, 409)
    assert.deepEqual(await rowOf(mine.username), row)
  })

  test(`${name}: a referral is recorded once, at sign-up, counts for the referrer, and its letter is ${name === 'before' ? 'in the outbox' : 'sent'}`, async () => {
    const referrer = seededAuthUser(name === 'before' ? 5 : 6)
    const identity = { ...stranger(), referralCode: referrer.referralCode }
    const first = await auth(path, identity)
    assert.equal(first.referral, name === 'before' ? 'recorded' : 'accepted')
    if (name === 'after') await referred(identity.username)
    const [row, by] = [await rowOf(identity.username), await rowOf(referrer.username)]
    assert.equal(row.referred_by, by.id)
    assert.equal(by.referral_count, 1)
    assert.equal((await auth(path, identity)).referral, null)
    const referrals = await db.selectFrom('referrals').selectAll().where('referred_id', '=', row.id).execute()
    assert.deepEqual(
      referrals.map(({ referrer_id }) => referrer_id),
      [by.id],
    )
    const letters = await db.selectFrom('email_outbox').selectAll().where('about_user_id', '=', row.id).execute()
    assert.deepEqual(
      letters.map(({ recipient, template, sent_at }) => [recipient, template, sent_at !== null]),
      [[referrer.email, 'referral_joined', name === 'after']],
    )
    const sent = outside.mailbox.letters.filter(({ text }) => text.includes(`${identity.username} has joined`))
    assert.deepEqual(
      sent.map(({ to }) => to),
      name === 'after' ? [[referrer.email]] : [],
    )
  })

  test(`${name}: an unknown referral code is ignored`, async () => {
    const { user, referral, degraded } = await auth(path, { ...stranger(), referralCode: 'NOBODYHAS1' })
    const expected = name === 'before' ? 'unknown code' : 'accepted'
    assert.deepEqual([user.isNew, referral, degraded], [true, expected, false])
  })

  test(`${name}: an invalid body is a 400 that says what is wrong`, async () => {
    const good = stranger()
    for (const bad of [
      {},
      { ...good, privyId: 'me' },
      { ...good, username: "x'; drop table" },
      { ...good, email: 'no-address' },
      { ...good, admin: true },
      { ...good, referralCode: 5 },
    ]) {
      const answer = await ask(path, bad)
      assert.equal(answer.status, 400)
      assert.ok(((await answer.json()) as Problem).errors?.length)
    }
  })
}

test('queries per case on the wire: 3–4 and 6–12 before; 0 for a cached user, 1 and 2 after, and 3 more after the response to a referral', async () => {
  const counted: Record<string, number[]> = {}
  await quiet()
  for (const [name, path] of Object.entries(PATHS)) {
    // Opens the connection, which itself sends queries.
    await auth(path, seeded(1))
    counted[name] = [
      await queriesOf(path, seeded(4)),
      await queriesOf(path, seeded(5)),
      await queriesOf(path, stranger()),
      await queriesOf(path, seeded(4)),
      await queriesOf(path, seeded(5)),
    ]
  }
  assert.deepEqual(counted, { before: [3, 4, 7, 3, 4], after: [1, 1, 2, 0, 0] })
  const identity = { ...stranger(), referralCode: 'REF0001' }
  assert.equal(await queriesOf(PATHS.before, identity), 12)
  // One query to record it, one to load the letter and one to mark it as sent, before or after the
  // response.
  const other = { ...stranger(), referralCode: 'REF0001' }
  await quiet()
  const had = outside.status().queries ?? 0
  await auth(PATHS.after, other)
  await referred(other.username)
  assert.equal((outside.status().queries ?? 0) - had, 5)
})

test('after: of two concurrent sign-ups of one identity, one creates the user and both succeed', async () => {
  const identity = stranger()
  const answers = await Promise.all([0, 1, 2, 3].map(() => auth(PATHS.after, identity)))
  assert.equal(new Set(answers.map(({ user }) => user.id)).size, 1)
  assert.equal(answers.filter(({ user }) => user.isNew).length, 1)
})

test('after: a name of another user is cached; trying it again takes one query, and signing in with it none', async () => {
  await auth(PATHS.after, seeded(103))
  const other = { ...stranger(), username: seeded(103).username }
  const tried = async (): Promise<number> => {
    const before = outside.status().queries ?? 0
    assert.equal((await ask(PATHS.after, other)).status, 409)
    return (outside.status().queries ?? 0) - before
  }
  await quiet()
  assert.deepEqual([await tried(), await tried()], [3, 1])
  assert.equal(await queriesOf(PATHS.after, seeded(103)), 0)
  assert.equal((await auth(PATHS.after, { ...other, username: stranger().username })).user.isNew, true)
})

test('after: a sign-up invalidates a cached unknown identity, and linking invalidates a cached user', async () => {
  const identity = stranger()
  assert.equal((await ask(PATHS.after, { ...identity, username: seeded(3).username })).status, 409)
  assert.equal((await auth(PATHS.after, identity)).user.isNew, true)
  assert.equal((await auth(PATHS.after, identity)).user.isNew, false)
  const linked = seeded(30)
  const first = await auth(PATHS.after, linked)
  assert.deepEqual([first.user.username, first.user.isNew], [linked.username, false])
  assert.equal((await ask(PATHS.after, { ...stranger(), username: linked.username })).status, 409)
  assert.deepEqual(await auth(PATHS.after, linked), first)
})

test('while a table hangs, every request after and none before is answered in time; then both recover', async () => {
  const remembered = await auth(PATHS.after, seeded(1))
  await outside.order({ hangTable: 'auth_users', hangFor: LONG_HANG })
  let settledBefore = 0
  const early = Promise.all(
    [1, 2, 3].map(async (number) => {
      const answer = await ask(PATHS.before, seeded(number))
      settledBefore += 1
      return answer.status
    }),
  )
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, index) => ask(PATHS.after, index % 2 === 0 ? seeded(index + 201) : stranger())),
  )
  assert.deepEqual(await auth(PATHS.after, seeded(1)), remembered)
  assert.equal(outside.status().hangTable, 'auth_users')
  assert.equal(settledBefore, 0)
  for (const answer of answers) {
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('retry-after'), '1')
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
    const body = (await answer.json()) as Problem
    assert.equal(body.type, 'urn:punctual:error:wait-timeout')
    assert.doesNotMatch(JSON.stringify(body), /auth_users|select|pool/)
  }
  const active = async (): Promise<boolean> => {
    const { rows } = await pool.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where application_name = 'incidents after' and state <> 'idle'`,
    )
    return (rows[0]?.n ?? 0) > 0
  }
  assert.ok(await waitUntil(async () => !(await active()), ms(30_000), ms(20)), 'queries were left on the server')
  await outside.order({})
  assert.deepEqual(await early, [200, 200, 200])
  assert.equal((await auth(PATHS.after, seeded(201))).degraded, false)
})

test('after: without the table of keys a response says that the keys are missing, and is not cached', async () => {
  const remembered = await auth(PATHS.after, seeded(7))
  await outside.order({ hangTable: 'api_keys', hangFor: LONG_HANG })
  assert.deepEqual(await auth(PATHS.after, seeded(7)), remembered)
  const answer = await auth(PATHS.after, seeded(47))
  assert.deepEqual([answer.user.username, answer.apiKeys, answer.degraded], ['user0047', [], true])
  await outside.order({})
  const whole = async (): Promise<boolean> => {
    const { apiKeys, degraded } = await auth(PATHS.after, seeded(47))
    return apiKeys.length === 3 && !degraded
  }
  assert.ok(await waitUntil(whole, ms(30_000), ms(20)), 'the keys are still missing')
})

test('after: a referral is persisted once its user exists, before other workers invalidate their caches', async () => {
  const timeouts = authTimeouts()
  const users = rememberUsers(db, { redis: undefined, withKeysTimeout: timeouts.withKeys, onEvent: () => {} })
  const steps: string[] = []
  const service = createAuthAfter({
    db,
    timeouts,
    users: { ...users, forget: async () => void steps.push('forgotten') },
    referrals: {
      push: ({ code }) => {
        steps.push(`pushed ${code}`)
        return 'persisted'
      },
    },
  })
  await service.auth({ ...stranger(), referralCode: 'REF0008' })
  users.close()
  timeouts.close()
  assert.deepEqual(steps, ['pushed REF0008', 'forgotten'])
})

test('after: a letter that timed out is not sent later besides its retry', async () => {
  const about = (await rowOf(seeded(9).username)).id
  await db
    .insertInto('email_outbox')
    .values({ recipient: 'one@example.org', template: 'referral_joined', about_user_id: about })
    .execute()
  const letters = openLetters(db, outside.smtpUrl)
  try {
    await outside.order({ mail: 'hang' })
    // The first one has the connection; the second one would wait for it.
    for (const timeout of ['500ms', '500ms'] as const) {
      await assert.rejects(
        withDeadline('test', timeout, () => letters.send([about])),
        WaitTimeoutError,
      )
    }
    await outside.order({})
    await letters.send([about])
    assert.equal(outside.mailbox.letters.filter(({ to }) => to.includes('one@example.org')).length, 1)
  } finally {
    await letters.close()
  }
})

test('after: a sign-up does not wait for its referral, which is recorded, with its letter sent, once possible', async () => {
  await outside.order({ hangTable: 'email_outbox', hangFor: LONG_HANG, mail: 'fail' })
  const identity = { ...stranger(), referralCode: 'REF0002' }
  const answer = await auth(PATHS.after, identity)
  assert.deepEqual([answer.user.isNew, answer.referral, answer.degraded], [true, 'accepted', false])
  const row = await rowOf(identity.username)
  assert.equal(row.referred_by, null)
  assert.deepEqual(await db.selectFrom('referrals').selectAll().where('referred_id', '=', row.id).execute(), [])
  await outside.order({ mail: 'fail' })
  const recorded = async (): Promise<boolean> => (await rowOf(identity.username)).referred_by !== null
  assert.ok(await waitUntil(recorded, ms(30_000), ms(20)), 'the referral was not recorded')
  await outside.order({})
  await referred(identity.username)
  const letters = outside.mailbox.letters.filter(({ text }) => text.includes(`${identity.username} has joined`))
  assert.equal(letters.length, 1)
})
