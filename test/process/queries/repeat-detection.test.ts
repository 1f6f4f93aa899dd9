import assert, { AssertionError } from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { allowRepeatedQueries, guardPool } from '../../../src/postgres/index.ts'
import { openSqlite, type SqliteDatabase } from '../../../src/sqlite/index.ts'
import { expectNoRepeats } from '../../../src/testing.ts'
import { startPostgres, type TestServer } from '../database/postgres.ts'

/** The package has no types. */
const Cursor = createRequire(import.meta.url)('pg-cursor') as new (
  text: string,
) => pg.Submittable & { read(rows: number): Promise<unknown>; close(): Promise<void> }

let server: TestServer
let pool: pg.Pool
let db: Kysely<{ tests: { id: number; referral_id: number; status: string } }>
let lite: SqliteDatabase

before(async () => {
  server = await startPostgres()
  pool = guardPool('main', new pg.Pool({ ...server.options('repeats'), max: 5 }))
  db = new Kysely({ dialect: new PostgresDialect({ pool }) })
  lite = openSqlite('lite', ':memory:')
  const table = 'create table tests (id integer primary key, referral_id integer, status text)'
  const rows = "insert into tests select n, n / 3, case when n % 2 = 0 then 'new' else 'done' end from"
  await pool.query(table)
  await pool.query(`${rows} generate_series(1, 300) as n`)
  await pool.query('create table versions (id int primary key, version int)')
  await pool.query('insert into versions values (1, 1)')
  await lite.exec(table)
  await lite.run(
    `${rows} (with recursive c(n) as (select 1 union all select n + 1 from c where n < 300) select n from c)`,
  )
})
after(async () => {
  await lite?.close()
  await pool?.end()
  await server?.stop()
})

const TIMES = 8
const BY_REFERRAL = 'select * from tests where referral_id = $1'

async function times(work: (n: number) => unknown): Promise<void> {
  for (let n = 1; n <= TIMES; n++) await work(n)
}

/** Repeated queries that must not be reported. */
const cases: Readonly<Record<string, () => Promise<unknown>>> = {
  'pages by key': async () => {
    for (let last = 0; ; ) {
      const { rows } = await pool.query('select id from tests where id > $1 order by id limit 30', [last])
      if (rows.length === 0) return
      last = rows.at(-1).id
    }
  },
  'pages by key and tenant': async () => {
    for (let last = 0; last < 290; ) {
      const sql = 'select id from tests where status <> $1 and id > $2 order by id limit $3'
      const { rows } = await pool.query(sql, ['gone', last, 30])
      last = rows.at(-1).id
    }
  },
  'pages by a key of two columns': async () => {
    await times((n) =>
      pool.query('select id from tests where (referral_id, id) > ($1, $2) order by referral_id, id limit 10', [
        n * 3,
        n * 9,
      ]),
    )
  },
  'pages by offset': () =>
    times((n) => pool.query('select id from tests order by id limit $1 offset $2', [10, n * 10])),
  'pages with numbers in the text': () => times((n) => pool.query(`select id from tests limit 10 offset ${n * 10}`)),
  'pages through Kysely': () =>
    times((n) =>
      db
        .selectFrom('tests')
        .select('id')
        .orderBy('id')
        .limit(10)
        .offset(n * 10)
        .execute(),
    ),
  'ranges between two keys': () =>
    times((n) => pool.query('select id from tests where id between $1 and $2', [n * 10, n * 10 + 9])),
  'batches of keys in a list': () =>
    times((n) => pool.query('select id from tests where id in ($1, $2, $3)', [n, n + 1, n + 2])),
  'batches of keys in an array': () =>
    times((n) => pool.query('select id from tests where id = any($1)', [[n * 3, n * 3 + 1, n * 3 + 2]])),
  'batches of rows to insert': () =>
    times((n) => pool.query('insert into tests values ($1, 1, $3), ($2, 1, $3)', [1000 + n * 2, 1001 + n * 2, 'new'])),
  'rows of a cursor': async () => {
    const client = await pool.connect()
    try {
      const cursor = client.query(new Cursor('select id from tests'))
      await times(() => cursor.read(10))
      await cursor.close()
    } finally {
      client.release()
    }
  },
  'a query that fails and is retried': async () => {
    await times(() => pool.query('select 1 / $1::int', [0]).catch(() => {}))
  },
  'a transaction that is retried': async () => {
    await times(async () => {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await client.query('select version from versions where id = $1', [1])
        await client.query('insert into versions values ($1, $2)', [1, 2])
        await client.query('commit')
      } catch {
        await client.query('rollback')
      } finally {
        client.release()
      }
    })
  },
  'reading again after a write': () =>
    times(async (n) => {
      await pool.query('select version from versions where id = $1', [1])
      await pool.query('update versions set version = version + 1 where id = $1', [1])
      return n
    }),
  'two callers, a few times each': async () => {
    await pool.query(BY_REFERRAL, [0])
    const one = async (n: number): Promise<void> => void (await pool.query(BY_REFERRAL, [n]))
    const other = async (n: number): Promise<void> => void (await pool.query(BY_REFERRAL, [n + 100]))
    for (let n = 0; n < 3; n++) await one(n)
    for (let n = 0; n < 3; n++) await other(n)
  },
  'a helper with many callers': async () => {
    const ask = (n: number): Promise<unknown> => pool.query(BY_REFERRAL, [n])
    await ask(1)
    await ask(2)
    await ask(3)
    await ask(4)
    await Promise.all([ask(5), ask(6)])
    return ask(7)
  },
  'a prepared statement, by name': async () => {
    const ask = (n: number): Promise<unknown> => pool.query({ name: 'one', text: BY_REFERRAL, values: [n] })
    await ask(1)
    await ask(2)
    await ask(3)
    await ask(4)
    await ask(5)
  },
  'begin, commit and settings': async () => {
    const client = await pool.connect()
    try {
      await times(async () => {
        await client.query('begin')
        await client.query("set local work_mem = '8MB'")
        await client.query('savepoint a')
        await client.query('release a')
        await client.query('commit')
      })
    } finally {
      client.release()
    }
  },
  'a loop in allowRepeatedQueries': () =>
    allowRepeatedQueries('the partner allows one at a time', () => times((n) => pool.query(BY_REFERRAL, [n]))),
  polling: () =>
    times(async () => {
      await pool.query('select status from tests where id = $1', [1])
      await sleep(80)
    }),
  'a few look-ups': async () => {
    for (let n = 0; n < 4; n++) await pool.query(BY_REFERRAL, [n])
  },
  'tables and indexes': () => times((n) => pool.query(`create temp table t_${n} (id int)`)),
  'different queries': () =>
    times((n) => pool.query(`select ${'id, '.repeat(n)} status from tests where id = $1`, [n])),
  'pages of SQLite': async () => {
    await times((n) => lite.all('select id from tests where id > ? order by id limit ?', [n * 10, 10]))
    await times((n) => lite.all('select id from tests order by id limit :size offset :from', { size: 10, from: n }))
  },
  'a write of SQLite that is retried': async () => {
    await times((n) => lite.run('insert into tests (id, status) values (?, ?)', [1, `${n}`]).catch(() => {}))
  },
  'transactions of SQLite': () => times(() => lite.transaction(async () => {})),
}

describe('not reported as repeated', () => {
  for (const [name, work] of Object.entries(cases))
    test(name, async () => {
      await expectNoRepeats(work)
    })
})

interface RepeatFacts {
  readonly sql: string
  readonly kind: 'rows' | 'same'
  readonly count: number
  readonly advice: string
  /** The loop is in this file. */
  readonly isHere: boolean
  /** The query itself is elsewhere. */
  readonly isIndirect: boolean
}
type Found = RepeatFacts & { readonly place: string; readonly via: string | null }

const HERE = /^test\/process\/queries\/repeat-detection\.test\.ts:\d+$/

/** Similar queries that must be reported. */
const findings: Readonly<Record<string, readonly [() => Promise<unknown>, ...Partial<RepeatFacts>[]]>> = {
  'a key beside a range': [
    () => times((n) => pool.query('select id from tests where referral_id = $1 and id > $2 limit 3', [n, 0])),
    { count: 8, kind: 'rows', advice: 'load-together', isHere: true, isIndirect: true },
  ],
  'the newest row per key': [
    () => times((n) => pool.query('select id from tests where referral_id = $1 order by id desc limit 1', [n])),
    { count: 8 },
  ],
  'values in the text': [
    () => times((n) => pool.query(`select id from tests where referral_id = ${n} -- for ${n}`)),
    { count: 8, sql: 'select id from tests where referral_id = ?' },
  ],
  'the same values': [
    () => times(() => pool.query('select status from tests where id = $1', [1])),
    { count: 8, kind: 'same', advice: 'keep-answer' },
  ],
  'one row at a time': [
    () => times((n) => pool.query('insert into tests values ($1, 1, $2)', [2000 + n, 'new'])),
    { count: 8, sql: 'insert into tests values (…)', kind: 'rows', advice: 'write-together' },
  ],
  'two loops in one function': [
    async () => {
      await times((n) => pool.query(BY_REFERRAL, [n]))
      await times((n) => pool.query(BY_REFERRAL, [n]))
    },
    { count: 8 },
    { count: 8 },
  ],
  'all at once': [
    () => Promise.all(Array.from({ length: 100 }, (_, n) => pool.query(BY_REFERRAL, [n]))),
    { count: 100 },
  ],
  'SQLite, in a transaction': [
    () => lite.transaction((tx) => times((n) => tx.get('select * from tests where id = ?', [n]))),
    { count: 8 },
  ],
}

describe('reported as repeated', () => {
  for (const [name, [work, ...expected]] of Object.entries(findings)) {
    test(name, () =>
      assert.rejects(expectNoRepeats(work), (error) => {
        assert.ok(error instanceof AssertionError)
        const found = (error.actual as Found[]).map(({ place, via, ...facts }) => ({
          ...facts,
          isHere: HERE.test(place),
          isIndirect: via !== null,
        }))
        assert.equal(found.length, expected.length)
        for (const [index, facts] of expected.entries()) assert.partialDeepStrictEqual(found[index], facts)
        return true
      }),
    )
  }
})
