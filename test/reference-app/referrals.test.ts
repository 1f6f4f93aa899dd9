import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import type pg from 'pg'
import { ms } from '../../src/resilience/duration.ts'
import { buildApp } from './build-app.ts'
import { openDatabase, openPool } from './database/pool.ts'
import { release } from './database/release.ts'
import type { Database, ReferralStatus, TestStatus } from './database/schema.ts'
import { SEED_CLINIC } from './database/seed-referrals.ts'
import { waitUntil } from './guardian/wait-until.ts'
import { type Outside, startOutside } from './outside/outside.ts'
import type { Problem } from './problem.ts'
import type { PractitionerPage, Referral, ReferralPage, ReferralTest } from './referrals/contract.ts'
import { makeTestDatabase, type TestDatabase } from './testing/database.ts'

const SIDES = { before: '/before/api/medics', after: '/api/medics' } as const
const LISTS = ['practitioner', 'technician'] as const
const STATUSES: readonly ReferralStatus[] = ['pending', 'accepted', 'completed', 'cancelled']
const TEST_STATUSES: readonly TestStatus[] = ['pending', 'in_progress', 'completed', 'cancelled']
const CALL_LIMIT = 60_000

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
  app = buildApp({ databaseUrl: outside.databaseUrl, logLevel: 'silent' })
  base = await app.listen({ host: '127.0.0.1', port: 0 })
})
afterEach(() => outside?.order({}))
after(async () => {
  await app?.close()
  await outside?.close()
  await pool?.end()
  await database?.remove()
})

interface Answer {
  readonly status: number
  readonly text: string
}

async function call(path: string, change?: object | string): Promise<Answer> {
  const patch = { method: 'PATCH', headers: { 'content-type': 'application/json' } }
  const body = typeof change === 'string' ? change : JSON.stringify(change)
  const options = change === undefined ? {} : { ...patch, body }
  const answer = await fetch(`${base}${path}`, { ...options, signal: AbortSignal.timeout(CALL_LIMIT) })
  return { status: answer.status, text: await answer.text() }
}

/** Sends the same request to both sides, which must respond alike. */
async function both(path: string): Promise<Answer> {
  const [old, now] = [await call(`${SIDES.before}${path}`), await call(`${SIDES.after}${path}`)]
  assert.deepEqual(now, old, path)
  return now
}

async function ok<T>(path: string, change?: object): Promise<T> {
  const { status, text } = await call(path, change)
  assert.equal(status, 200, `${path}: ${text}`)
  return JSON.parse(text) as T
}

async function queriesOf(path: string, change?: object): Promise<number> {
  const earlier = outside.status().queries ?? 0
  await ok(path, change)
  return (outside.status().queries ?? 0) - earlier
}

/** The row in the database. */
async function rowsOf(owner: 'practitioner_id' | 'facility_id', id: number) {
  return db
    .selectFrom('clinic_referrals')
    .selectAll()
    .where(owner, '=', id)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .execute()
}

/** All pages, in sequence. */
async function walk(path: string): Promise<readonly ReferralPage[]> {
  const pages: ReferralPage[] = []
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: ReferralPage = await ok(cursor === undefined ? path : `${path}&cursor=${cursor}`)
    pages.push(page)
    cursor = page.nextCursor
  }
  return pages
}

const idsOf = (rows: readonly { readonly id: number }[]): number[] => rows.map(({ id }) => id)

/** Repeatable pseudo-random numbers: mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

test('the seed has the size of the incident, and a second release does not change it', async () => {
  await release(database.url)
  const { rows } = await sql<Record<string, number>>`
    select (select count(*)::int from facilities) as facilities, (select count(*)::int from practitioners) as practitioners,
      (select count(*)::int from technicians) as technicians, (select count(*)::int from patients) as patients,
      (select count(*)::int from tests) as tests, (select count(*)::int from clinic_referrals) as referrals,
      (select count(*)::int from referral_tests) as "referralTests"`.execute(db)
  assert.deepEqual(rows[0], { ...SEED_CLINIC })
})

test('every foreign key and every filtered column has an index that begins with it', async () => {
  const tables = ['practitioners', 'technicians', 'test_types', 'clinic_referrals', 'referral_tests']
  const { rows } = await sql<{ missing: string }>`
    select format('%s.%s', c.conrelid::regclass, a.attname) as missing
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.contype = 'f' and c.conrelid::regclass::text = any(${tables})
      and not exists (select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1])`.execute(db)
  assert.deepEqual(rows, [])
  for (const owner of ['practitioner_id', 'facility_id']) {
    for (const filter of ['', `and status = 'accepted'`]) {
      const plan = await pool.query<{ 'QUERY PLAN': string }>(
        `explain select * from clinic_referrals where ${owner} = 3 ${filter} order by created_at desc, id desc limit 51`,
      )
      const text = plan.rows.map((row) => row['QUERY PLAN']).join('\n')
      assert.match(text, /Index Scan Backward using clinic_referrals_/)
      assert.doesNotMatch(text, /Sort|Seq Scan/)
    }
  }
})

for (const [side, path] of Object.entries(SIDES)) {
  test(`${side}: the pages of a practitioner have each of their referrals once, newest first, with total counts`, async () => {
    const rows = await rowsOf('practitioner_id', 11)
    const pages = (await walk(`${path}/referrals/practitioner?practitionerId=11&limit=60`)) as PractitionerPage[]
    assert.deepEqual(
      pages.map(({ items }) => items.length),
      [60, 60, 60, 20],
    )
    assert.deepEqual(idsOf(pages.flatMap(({ items }) => items)), idsOf(rows))
    const count = (status: ReferralStatus): number => rows.filter((row) => row.status === status).length
    const [pending = 0, accepted = 0, completed = 0, cancelled = 0] = STATUSES.map(count)
    for (const { summary } of pages) {
      assert.deepEqual(summary, { total: 200, pending, accepted, completed, cancelled })
    }
  })

  test(`${side}: the pages of a technician have the referrals to their facility in the requested state`, async () => {
    const { facility_id } = await db.selectFrom('technicians').selectAll().where('id', '=', 7).executeTakeFirstOrThrow()
    const rows = await rowsOf('facility_id', facility_id)
    const found = async (filter: string): Promise<number[]> =>
      idsOf(
        (await walk(`${path}/referrals/technician?technicianId=7&limit=400${filter}`)).flatMap(({ items }) => items),
      )
    assert.deepEqual(await found(''), idsOf(rows))
    assert.deepEqual(await found('&status=accepted'), idsOf(rows.filter(({ status }) => status === 'accepted')))
  })

  test(`${side}: a list continues where it ended, also if referrals are added meanwhile`, async () => {
    const list = `${path}/referrals/practitioner?practitionerId=12&limit=20`
    const whole = idsOf((await walk(list)).flatMap(({ items }) => items))
    const first = await ok<ReferralPage>(list)
    const { id } = await db
      .insertInto('clinic_referrals')
      .values({ patient_id: 1, facility_id: 1, practitioner_id: 12, note: null })
      .returning('id')
      .executeTakeFirstOrThrow()
    const second = await ok<ReferralPage>(`${list}&cursor=${first.nextCursor}`)
    assert.deepEqual(idsOf([...first.items, ...second.items]), whole.slice(0, 40))
    assert.equal((await ok<ReferralPage>(list)).items[0]?.id, id)
    await db.deleteFrom('clinic_referrals').where('id', '=', id).execute()
  })
}

test('queries per page on the wire: one per row plus one before, a constant few after', async () => {
  const counted: Record<string, number[]> = {}
  for (const [side, path] of Object.entries(SIDES)) {
    for (const list of LISTS) {
      const page = `${path}/referrals/${list}?${list}Id=3&limit=`
      // Opens the connection, which itself sends queries.
      await ok(`${page}1`)
      const counts: number[] = []
      for (const limit of [10, 100, 1_000]) counts.push(await queriesOf(`${page}${limit}`))
      counted[`${side}, ${list}`] = counts
    }
  }
  assert.deepEqual(counted, {
    'before, practitioner': [11, 101, 1_001],
    'before, technician': [11, 101, 1_001],
    'after, practitioner': [3, 3, 3],
    'after, technician': [2, 2, 2],
  })
})

test('queries for a single referral: 5 to 6 before, 1 to 2 after', async () => {
  const counts: Record<string, number[]> = {}
  for (const [side, path] of Object.entries(SIDES)) {
    const [referral, tested] = await makeReferral('pending', ['pending'])
    counts[side] = [
      await queriesOf(`${path}/referrals/${referral}`),
      await queriesOf(`${path}/referrals/${referral}`, { status: 'accepted' }),
      await queriesOf(`${path}/tests/${tested}`, { status: 'in_progress' }),
    ]
  }
  assert.deepEqual(counts, { before: [5, 6, 3], after: [1, 2, 2] })
})

test('both sides return the same JSON for random data and requests', async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31))
  const random = randomFrom(seed)
  const pick = <T>(values: readonly T[]): T => values[random(values.length)] as T
  const owner = await fillClinic(random)
  const cursors = ['']
  const bad = ['', '0', '-1', '1.5', 'x', '99999999999', "1' or 1=1"]
  let rows = 0
  for (let round = 0; round < 100; round++) {
    const list = pick(LISTS)
    const id = random(12) === 0 ? pick([...bad, '2147483647', '2147483648']) : String(owner[list])
    const query = new URLSearchParams({ [`${list}Id`]: id })
    if (random(2) === 0) query.set('status', random(20) === 0 ? 'lost' : pick(STATUSES))
    if (random(10) > 0) query.set('limit', random(20) === 0 ? pick([...bad, '1001']) : String(1 + random(40)))
    const cursor = random(15) === 0 ? pick(['a', 'bm9uZQ', '!', 'MSAx']) : pick(cursors)
    if (cursor !== '') query.set('cursor', cursor)
    const { status, text } = await both(`/referrals/${list}?${query}`).catch((error: Error) => {
      error.message = `SEED=${seed}: ${error.message}`
      throw error
    })
    if (status !== 200) continue
    const page = JSON.parse(text) as ReferralPage
    rows += page.items.length
    if (page.nextCursor !== null) cursors.push(page.nextCursor)
    const some = page.items[0]
    if (some !== undefined) assert.deepEqual(JSON.parse((await both(`/referrals/${some.id}`)).text), some)
  }
  assert.ok(rows > 100, `SEED=${seed}: only ${rows} rows were compared`)
})

/**
 * Creates a facility with a practitioner, a technician and many referrals, some at the same
 * instant, some without tests.
 */
async function fillClinic(
  random: (below: number) => number,
): Promise<Readonly<Record<'practitioner' | 'technician', number>>> {
  const name = `random ${random(2 ** 31)}`
  const facility = await db.insertInto('facilities').values({ name }).returning('id').executeTakeFirstOrThrow()
  const staff = { facility_id: facility.id, name: 'Ærø "O\'Neil" \\ 医生' }
  const practitioner = await db.insertInto('practitioners').values(staff).returning('id').executeTakeFirstOrThrow()
  const technician = await db.insertInto('technicians').values(staff).returning('id').executeTakeFirstOrThrow()
  const referrals = await db
    .insertInto('clinic_referrals')
    .values(
      Array.from({ length: 60 + random(60) }, () => ({
        patient_id: 1 + random(SEED_CLINIC.patients),
        facility_id: random(3) > 0 ? facility.id : 1 + random(SEED_CLINIC.facilities),
        practitioner_id: random(3) > 0 ? practitioner.id : 1 + random(SEED_CLINIC.practitioners),
        status: STATUSES[random(4)] as ReferralStatus,
        note: [null, '', 'x', '{"a": null}', 'line\nline  🩺', '<b>'][random(6)] as string | null,
        created_at: new Date(1_700_000_000_000 + random(20) * 60_000 + random(2)),
      })),
    )
    .returning('id')
    .execute()
  const tests = referrals.flatMap(({ id }) =>
    Array.from({ length: random(7) }, () => ({
      referral_id: id,
      test_id: 1 + random(SEED_CLINIC.tests),
      status: TEST_STATUSES[random(4)] as TestStatus,
    })),
  )
  await db.insertInto('referral_tests').values(tests).execute()
  return { practitioner: practitioner.id, technician: technician.id }
}

/** Creates a referral with tests in these states, and returns the ids. */
async function makeReferral(status: ReferralStatus, tests: readonly TestStatus[]): Promise<readonly number[]> {
  const { id } = await db
    .insertInto('clinic_referrals')
    .values({ patient_id: 5, facility_id: 4, practitioner_id: 49, status, note: 'as it was' })
    .returning('id')
    .executeTakeFirstOrThrow()
  if (tests.length === 0) return [id]
  const rows = await db
    .insertInto('referral_tests')
    .values(tests.map((state, index) => ({ referral_id: id, test_id: 1 + index, status: state })))
    .returning('id')
    .execute()
  return [id, ...idsOf(rows)]
}

/** The response without the fields that differ between rows. */
function likeness({ status, text }: Answer): unknown {
  const { id: _, createdAt: __, updatedAt: ___, tests, ...rest } = JSON.parse(text) as Partial<Referral>
  return { answered: status, ...rest, tests: tests?.map(({ id: _, ...each }) => each) }
}

test('both sides accept and reject the same changes of a referral', async () => {
  const changes: object[] = [
    ...STATUSES.map((status) => ({ status })),
    { note: 'new' },
    { note: null },
    { facilityId: 4 },
    { facilityId: 9 },
    { facilityId: 2_000_000_000 },
    { status: 'accepted', note: 'both', facilityId: 2 },
  ]
  const answered = new Map<number, number>()
  for (const status of STATUSES) {
    for (const tests of [[], ['completed', 'cancelled'], ['completed', 'in_progress', 'pending']] as TestStatus[][]) {
      for (const change of changes) {
        const results = await Promise.all(
          Object.values(SIDES).map(async (path) => {
            const [id] = await makeReferral(status, tests)
            const answer = await call(`${path}/referrals/${id}`, change)
            const seen = await call(`${path}/referrals/${id}`)
            // The response to a change is the stored state; a rejected change changes nothing.
            if (answer.status === 200) assert.deepEqual(JSON.parse(answer.text), JSON.parse(seen.text))
            return [likeness(answer), likeness(seen), answer.status] as const
          }),
        )
        assert.deepEqual(results[0], results[1], `${status} ${JSON.stringify([tests, change])}`)
        const code = results[0]?.[2] ?? 0
        answered.set(code, (answered.get(code) ?? 0) + 1)
      }
    }
  }
  assert.deepEqual([...answered.keys()].sort(), [200, 400, 409])
})

test('both sides accept and reject the same changes of a test', async () => {
  for (const referral of STATUSES) {
    for (const now of TEST_STATUSES) {
      for (const status of TEST_STATUSES) {
        const results = await Promise.all(
          Object.values(SIDES).map(async (path) => {
            const [id, tested] = await makeReferral(referral, [now])
            const answer = likeness(await call(`${path}/tests/${tested}`, { status }))
            return [answer, likeness(await call(`${path}/referrals/${id}`))]
          }),
        )
        assert.deepEqual(results[0], results[1], `${referral} ${now} ${status}`)
      }
    }
  }
})

test('a referral is accepted, its tests are done, it is completed, and then does not change', async () => {
  for (const path of Object.values(SIDES)) {
    const [id, tested] = await makeReferral('pending', ['pending'])
    const early = await call(`${path}/referrals/${id}`, { status: 'completed' })
    assert.deepEqual([early.status, (JSON.parse(early.text) as Problem).code], [409, 'STEP_NOT_ALLOWED'])
    const accepted = await ok<Referral>(`${path}/referrals/${id}`, { status: 'accepted' })
    assert.ok(accepted.updatedAt >= accepted.createdAt)
    const open = await call(`${path}/referrals/${id}`, { status: 'completed' })
    assert.deepEqual([open.status, (JSON.parse(open.text) as Problem).code], [409, 'TESTS_OPEN'])
    for (const status of ['in_progress', 'completed']) {
      assert.equal((await ok<ReferralTest>(`${path}/tests/${tested}`, { status })).status, status)
    }
    const done = await ok<Referral>(`${path}/referrals/${id}`, { status: 'completed' })
    assert.deepEqual([done.status, done.tests.map(({ status }) => status)], ['completed', ['completed']])
    const again = await call(`${path}/referrals/${id}`, { status: 'accepted' })
    assert.deepEqual([again.status, (JSON.parse(again.text) as Problem).code], [409, 'CLOSED'])
  }
})

test('an invalid request is a 400 that says what is wrong, an unknown id a 404', async () => {
  const [id, tested] = await makeReferral('pending', ['pending'])
  const badReferrals = [
    {},
    { status: 'lost' },
    { note: 5 },
    { note: 'x'.repeat(2_001) },
    { note: 'a\0b' },
    { facilityId: '1' },
    { id: 3 },
    { facilityId: 0 },
  ]
  const badTests = [{}, { status: 'accepted' }, { status: null }, { status: 'completed', test: 1 }]
  for (const path of Object.values(SIDES)) {
    for (const body of badReferrals) await expectProblem(400, `${path}/referrals/${id}`, body)
    for (const body of badTests) await expectProblem(400, `${path}/tests/${tested}`, body)
    assert.equal((await call(`${path}/referrals/${id}`, '{"status":')).status, 400)
    for (const query of [
      '',
      '?practitionerId=x',
      '?practitionerId=1&limit=0',
      '?practitionerId=1&limit=1001',
      '?practitionerId=1&cursor=x',
      '?practitionerId=1&page=2',
      '?practitionerId=1&status=lost',
    ]) {
      await expectProblem(400, `${path}/referrals/practitioner${query}`)
    }
    for (const missing of ['2147483647', '9999999999']) {
      await expectProblem(404, `${path}/referrals/${missing}`)
      await expectProblem(404, `${path}/referrals/${missing}`, { status: 'accepted' })
      await expectProblem(404, `${path}/tests/${missing}`, { status: 'completed' })
      for (const list of LISTS) await expectProblem(404, `${path}/referrals/${list}?${list}Id=${missing}`)
    }
    await expectProblem(400, `${path}/referrals/one`)
  }
})

async function expectProblem(status: number, path: string, change?: object): Promise<void> {
  const answer = await call(path, change)
  assert.equal(answer.status, status, `${path} ${JSON.stringify(change)}: ${answer.text}`)
  const body = JSON.parse(answer.text) as Problem
  assert.deepEqual([body.type, body.status], ['about:blank', status])
  if (status === 400) assert.ok((body.errors?.length ?? 0) > 0, answer.text)
  assert.doesNotMatch(answer.text, /select|clinic_referrals|pool/)
}

test('after: of concurrent conflicting changes, one is applied', async () => {
  for (let round = 0; round < 10; round++) {
    const [id, tested] = await makeReferral('accepted', ['in_progress'])
    const tests = await Promise.all(
      ['completed', 'cancelled', 'completed', 'cancelled'].map((status) =>
        call(`${SIDES.after}/tests/${tested}`, { status }),
      ),
    )
    // The loser of a different status is rejected; the loser of the same status finds it done.
    const won = new Set(
      tests.filter(({ status }) => status === 200).map(({ text }) => (JSON.parse(text) as ReferralTest).status),
    )
    assert.equal(won.size, 1)
    const referrals = await Promise.all(
      (['completed', 'cancelled'] as const).map((status) => call(`${SIDES.after}/referrals/${id}`, { status })),
    )
    assert.deepEqual(referrals.map(({ status }) => status).sort(), [200, 409])
  }
})

test('after: a concurrent change of another field is kept: a change only writes what it names', async () => {
  const facilityId = 9
  const others: readonly [change: object, other: string, kept: Partial<Referral>][] = [
    [{ status: 'accepted' }, `note = 'of another'`, { status: 'accepted', note: 'of another' }],
    [{ facilityId }, 'note = null', { facility: { id: facilityId, name: 'Facility 9' }, note: null }],
    [{ note: 'mine' }, `status = 'accepted'`, { status: 'accepted', note: 'mine' }],
    [{ note: 'mine' }, 'facility_id = 9', { facility: { id: facilityId, name: 'Facility 9' }, note: 'mine' }],
  ]
  for (const [change, other, kept] of others) {
    const [id = 0] = await makeReferral('pending', ['pending'])
    const answer = await db.transaction().execute(async (transaction) => {
      await sql`update clinic_referrals set ${sql.raw(other)} where id = ${id}`.execute(transaction)
      const asked = ok<Referral>(`${SIDES.after}/referrals/${id}`, change)
      assert.ok(await waitUntil(isKeptWaiting, ms(30_000), ms(10)), 'the change does not wait for the other')
      return { asked }
    })
    const answered = await answer.asked
    assert.deepEqual({ ...answered, ...kept }, answered, `${JSON.stringify(change)} beside ${other}`)
    assert.deepEqual(await ok<Referral>(`${SIDES.after}/referrals/${id}`), answered)
  }
})

/** Returns whether a session waits for a row that another one has changed. */
async function isKeptWaiting(): Promise<boolean> {
  const { rows } = await sql`
    select from pg_stat_activity
    where datname = current_database() and application_name = 'incidents referrals' and wait_event_type = 'Lock'`.execute(
    db,
  )
  return rows.length > 0
}

test('after: a page is answered in time even if the table of tests hangs, with Retry-After', async () => {
  await outside.order({ hangTable: 'referral_tests', hangFor: 120_000 })
  const { status, text } = await call(`${SIDES.after}/referrals/practitioner?practitionerId=1&limit=10`)
  assert.equal(status, 503)
  assert.equal((JSON.parse(text) as Problem).type, 'urn:punctual:error:wait-timeout')
  await outside.order({})
  assert.equal(
    (await ok<ReferralPage>(`${SIDES.after}/referrals/practitioner?practitionerId=1&limit=10`)).items.length,
    10,
  )
})

test('over SQLite there are no clinic referrals', async () => {
  const other = buildApp({ databaseUrl: 'sqlite:/nowhere/login.db', logLevel: 'silent' })
  try {
    for (const path of Object.values(SIDES)) {
      assert.ok(app.hasRoute({ method: 'GET', url: `${path}/referrals/practitioner` }))
      assert.ok(!other.hasRoute({ method: 'GET', url: `${path}/referrals/practitioner` }))
    }
  } finally {
    await other.close()
  }
})
