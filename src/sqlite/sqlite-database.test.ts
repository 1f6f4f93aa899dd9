import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { until, within } from '../../test/process/support/until.ts'
import { ConnectionLostError, QueryTimeoutError } from '../database/query-errors.ts'
import { withQueryTimeout } from '../database/query-timeout.ts'
import { UsageError } from '../errors/punctual-error.ts'
import { ClientDisconnectedError, isTimeout, ShutdownError } from '../resilience/abort-reason.ts'
import { abandonedOperations } from '../resilience/bounded-operation.ts'
import { NO_DEADLINE } from '../resilience/clock.ts'
import { WaitScope } from '../resilience/wait-scope.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { openSqlite, type SqliteDatabase, type SqliteQueries, sqliteHealth } from './sqlite-database.ts'
import { SqliteError, type SqliteRule, TransactionTimeoutError, WriteTimeoutError } from './sqlite-errors.ts'
import type { SqliteOptions } from './sqlite-options.ts'

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'punctual-sqlite-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function open(t: TestContext, options: SqliteOptions = {}): Promise<SqliteDatabase> {
  const path = directory(t)
  const db = openSqlite('test', join(path, 'test.db'), { onEvent: () => {}, ...options })
  t.after(() => within('the database to close', db.close()))
  // With a longer timeout, because the first calls wait for the threads to start.
  await withQueryTimeout('set-up', '20s', async () => {
    await db.exec('create table users (id integer primary key, email text not null unique, data)')
    await db.get('select 1')
  })
  return db
}

/** Returns rows without end. */
const ENDLESS = 'with recursive c(n) as (select 1 union all select n + 1 from c) select n from c'

/** Asserts that a call is rejected because of this rule. */
function breaks(rule: SqliteRule, call: Promise<unknown>): Promise<void> {
  return assert.rejects(call, (error) => {
    assert.ok(error instanceof UsageError, String(error))
    assert.equal(error.details?.rule, rule)
    return true
  })
}

const all = <Row>(db: SqliteQueries): Promise<Row[]> => db.all<Row>('select id, email from users order by id')

describe('a database', () => {
  test('runs reads and writes with parameters by position and by name', async (t) => {
    const db = await open(t)
    const { changes, lastInsertRowid } = await db.run('insert into users (email) values (?)', ['a@x'])
    assert.deepEqual([changes, lastInsertRowid], [1, 1])
    await db.run('insert into users (email, data) values (:email, $data)', {
      email: 'b@x',
      $data: Buffer.from('bytes'),
    })
    assert.deepEqual(await all(db), [
      { id: 1, email: 'a@x' },
      { id: 2, email: 'b@x' },
    ])
    const row = await db.get<{ data: Uint8Array }>('select data from users where email = ?', ['b@x'])
    assert.equal(Buffer.from(row?.data ?? []).toString(), 'bytes')
    assert.equal(await db.get('select 1 from users where id = ?', [9]), undefined)
    assert.deepEqual(await db.all('insert into users (email) values (?), (?) returning id', ['c@x', 'd@x']), [
      { id: 3 },
      { id: 4 },
    ])
    assert.deepEqual(await db.get("update users set email = 'e@x' where id = 4 returning email"), { email: 'e@x' })
    assert.equal((await all(db)).length, 4)
  })

  test('runs a statement on the right thread, even when its first word does not show which', async (t) => {
    const db = await open(t)
    const sql = 'with new(email) as (values (?)) insert into users (email) select email from new returning id'
    assert.deepEqual(await db.all(sql, ['a@x']), [{ id: 1 }])
    assert.deepEqual(await db.all(sql, ['b@x']), [{ id: 2 }])
    assert.deepEqual(await db.all('with x as (select id from users) select count(*) as n from x'), [{ n: 2 }])
    await db.run('pragma user_version = 7')
    assert.deepEqual(await db.get('pragma user_version'), { user_version: 7 })
    await db.run('vacuum')
    assert.deepEqual(await db.get('pragma foreign_keys'), { foreign_keys: 1 })
    assert.equal(sqliteHealth(db).journalMode, 'wal')
  })

  test('reads what was written before, on every reader', async (t) => {
    const db = await open(t, { readers: 3 })
    for (let n = 1; n <= 50; n++) {
      await db.run('insert into users (email) values (?)', [`${n}@x`])
      const counts = await Promise.all([1, 2, 3].map(() => db.get<{ n: number }>('select count(*) as n from users')))
      assert.deepEqual(
        counts.map((row) => row?.n),
        [n, n, n],
      )
    }
  })

  test('returns results of many rows complete and in order', async (t) => {
    const db = await open(t)
    const numbers = 'with recursive c(n) as (select 1 union all select n + 1 from c where n < 20000) select n from c'
    const rows = await db.all<{ n: number }>(numbers)
    assert.equal(rows.length, 20_000)
    assert.ok(rows.every(({ n }, index) => n === index + 1))
    const written = await db.all(`insert into users (email) select n || '@x' from (${numbers}) returning id`)
    assert.equal(written.length, 20_000)
    const big = await db.all<{ data: Uint8Array }>(`select zeroblob(300000) as data from (${numbers}) limit 10`)
    assert.deepEqual(
      big.map(({ data }) => data.byteLength),
      Array.from({ length: 10 }, () => 300_000),
    )
  })

  test('never rounds an integer: returns a bigint if configured, else rejects', async (t) => {
    const exact = await open(t, { bigints: true })
    const id = 2n ** 60n + 1n
    assert.equal((await exact.run('insert into users (id, email) values (?, ?)', [id, 'a@x'])).lastInsertRowid, id)
    assert.deepEqual(await exact.get('select id from users'), { id })
    const plain = await open(t)
    assert.equal((await plain.run('insert into users (id, email) values (?, ?)', [id, 'a@x'])).lastInsertRowid, id)
    await assert.rejects(plain.get('select id from users'), (error) => {
      assert.ok(error instanceof UsageError)
      assert.equal(error.details?.rule, 'unsafe-integer')
      assert.doesNotMatch(error.message, new RegExp(String(id)))
      return true
    })
    assert.equal((await plain.run('delete from users')).changes, 1)
    assert.deepEqual(await plain.all('select id from users'), [])
  })

  test('in memory works without readers', async (t) => {
    const db = openSqlite('memory', ':memory:')
    t.after(() => db.close())
    await db.exec('create table t (n); insert into t values (1), (2)')
    assert.deepEqual(await db.all('with x as (select n from t) select n from x'), [{ n: 1 }, { n: 2 }])
    assert.deepEqual(await db.get('select count(*) as n from t'), { n: 2 })
    assert.equal(sqliteHealth(db).readers.threads, 0)
  })

  test('serves 100 concurrent callers', async (t) => {
    const db = await open(t)
    const callers = Array.from({ length: 100 }, async (_, n) => {
      await db.run('insert into users (email) values (?)', [`${n}@x`])
      return db.get<{ email: string }>('select email from users where email = ?', [`${n}@x`])
    })
    const rows = await Promise.all(callers)
    assert.ok(rows.every((row, n) => row?.email === `${n}@x`))
    assert.equal(sqliteHealth(db).writer.queued, 0)
  })
})

describe('errors', () => {
  test("keep SQLite's code and name, and contain no values", async (t) => {
    const db = await open(t)
    await db.run("insert into users (email) values ('secret@x')")
    const cases: [string, number, string][] = [
      ["insert into users (email) values ('secret@x')", 2067, 'SQLITE_CONSTRAINT_UNIQUE'],
      ['insert into users (email) values (null)', 1299, 'SQLITE_CONSTRAINT_NOTNULL'],
      ["select nothing from users where email = 'secret@x'", 1, 'SQLITE_ERROR'],
      ["select * from users where email = 'secret@x", 1, 'SQLITE_ERROR'],
    ]
    for (const [sql, errcode, errname] of cases) {
      await assert.rejects(db.all(sql), (error) => {
        assert.ok(error instanceof SqliteError, String(error))
        assert.deepEqual([error.errcode, error.errname, error.database], [errcode, errname, 'test'])
        assert.equal(error.code, 'PUNCTUAL_SQLITE_FAILED')
        assert.doesNotMatch(error.message, /secret/)
        assert.match(error.stack ?? '', /sqlite-database\.test\.ts/)
        return true
      })
    }
    assert.equal((await all(db)).length, 1)
  })

  test('of misuse name the broken rule, and affect no other call', async (t) => {
    const db = await open(t)
    await breaks('parameter-type', db.run('insert into users (email) values (?)', [true as never]))
    await breaks('driver', db.all('select :a', { b: 1 }))
    await breaks('transaction-control', db.run('begin'))
    await breaks('several-statements', db.run('delete from users; delete from users'))
    await breaks('ends-transaction', db.exec("insert into users (email) values ('a@x'); commit; select 1"))
    await assert.rejects(db.exec('create table t(n); begin; drop table t'), (error) => {
      assert.ok(error instanceof SqliteError)
      assert.equal(error.details?.advice, 'no-begin-in-script')
      return true
    })
    await assert.rejects(db.all('select 1', [1, 2, 3]), { errname: 'SQLITE_RANGE' })
    await breaks('driver', db.all(''))
    assert.deepEqual(await db.all("select name from sqlite_schema where type = 'table'"), [{ name: 'users' }])
  })

  test('a script runs completely or not at all', async (t) => {
    const db = await open(t)
    await assert.rejects(
      db.exec("insert into users (email) values ('a@x'); insert into users (email) values (null)"),
      SqliteError,
    )
    assert.deepEqual(await all(db), [])
    await db.exec('create table log(n); create trigger g after insert on users begin insert into log values (1); end;')
    await db.run("insert into users (email) values ('a@x')")
    assert.deepEqual(await db.get('select count(*) as n from log'), { n: 1 })
  })

  test('a file that cannot be opened rejects the waiting calls, and the next call tries again', async (t) => {
    const path = directory(t)
    const missing = openSqlite('later', join(path, 'later/test.db'), { onEvent: () => {} })
    t.after(() => missing.close())
    await assert.rejects(missing.get('select 1'), (error) => {
      assert.ok(error instanceof SqliteError)
      assert.equal(error.errname, 'SQLITE_CANTOPEN')
      assert.equal(error.details?.path, join(path, 'later/test.db'))
      return true
    })
    await assert.rejects(missing.run('create table t(n)'), SqliteError)
    mkdirSync(join(path, 'later'))
    assert.deepEqual(await missing.get('select 1 as n'), { n: 1 })

    writeFileSync(join(path, 'text.db'), 'this file is not a database, only a text of sufficient length'.repeat(20))
    const text = openSqlite('text', join(path, 'text.db'), { onEvent: () => {} })
    t.after(() => text.close())
    await assert.rejects(text.get('select 1'), { errname: 'SQLITE_NOTADB' })
  })
})

describe('timeouts', () => {
  test('a query that times out is cancelled, and rejects with a QueryTimeoutError', async (t) => {
    const db = await open(t, { queryTimeout: '100ms' })
    await assert.rejects(db.all(ENDLESS), (error) => {
      assert.ok(error instanceof QueryTimeoutError && isTimeout(error))
      assert.deepEqual([error.pool, error.timedOutBy], ['test', 'own'])
      assert.match(error.sql, /^with recursive c\(n\)/)
      assert.match(error.stack ?? '', /sqlite-database\.test\.ts/)
      return true
    })
    await until('the reader to be free', () => sqliteHealth(db).readers.busy === 0)
    const { counts, abandoned } = sqliteHealth(db)
    assert.deepEqual([counts.timedOut, counts.replaced, abandoned], [1, 0, 0])
    assert.equal(abandonedOperations().size, 0)
  })

  test('an operation gives its name and timeout to all calls in it', async (t) => {
    const db = await open(t)
    await withQueryTimeout('auth', '500ms', async () => {
      await db.get('select 1')
      await assert.rejects(db.all(ENDLESS), (error) => {
        assert.ok(error instanceof QueryTimeoutError)
        assert.deepEqual([error.operation, error.timedOutBy], ['auth', 'operation'])
        return true
      })
      await assert.rejects(db.run('delete from users'), (error) => {
        assert.ok(error instanceof WriteTimeoutError)
        assert.deepEqual([error.started, error.committed], [false, 'no'])
        return true
      })
    })
  })

  test('a call gets no more than the time left of its request, and is recorded in its waits', async (t) => {
    const db = await open(t)
    await withDeadline(
      'request',
      '900ms',
      async (scope) => {
        await db.get('select 1')
        await assert.rejects(db.all(ENDLESS), (error) => {
          assert.ok(error instanceof QueryTimeoutError)
          assert.equal(error.because, 'deadline')
          return true
        })
        assert.deepEqual(
          scope.waits.recorded.map(({ name, outcome }) => [name.slice(0, 16), outcome]),
          [
            ['pool test: selec', 'ok'],
            ['pool test: with ', 'timed-out'],
          ],
        )
      },
      { reserve: '300ms' },
    )
  })

  test('a disconnected client and a shutdown cancel the query without counting as timeouts', async (t) => {
    const db = await open(t)
    for (const reason of [new ClientDisconnectedError(), new ShutdownError()]) {
      const scope = new WaitScope(performance.now(), NO_DEADLINE)
      const call = scope.enter(() => db.all(ENDLESS))
      await until('the query to run', () => sqliteHealth(db).readers.busy === 1)
      scope.abort(reason)
      await assert.rejects(call, (error) => error === reason)
      await until('the reader to be free', () => sqliteHealth(db).readers.busy === 0)
    }
    const { timedOut: expired, aborted, replaced } = sqliteHealth(db).counts
    assert.deepEqual([expired, aborted, replaced], [0, 2, 0])
  })

  test('a write that times out is not committed, and its error says so', async (t) => {
    const db = await open(t)
    const held = db.transaction(async (tx) => {
      await tx.run("insert into users (email) values ('tx@x')")
      await until('the other write to time out', () => sqliteHealth(db).counts.timedOut > 0)
    })
    await assert.rejects(
      withQueryTimeout('audit', '100ms', () => db.run("insert into users (email) values ('late@x')")),
      (error) => {
        assert.ok(error instanceof WriteTimeoutError)
        assert.equal(error.committed, 'no')
        assert.equal(error.blockedBy, 'transaction')
        return true
      },
    )
    await held
    assert.deepEqual(
      (await all<{ email: string }>(db)).map(({ email }) => email),
      ['tx@x'],
    )
  })

  test('the event loop keeps turning while threads work', async (t) => {
    const db = await open(t)
    let turns = 0
    const timer = setInterval(() => turns++, 5)
    const busy =
      'with recursive c(n) as (select 1 union all select n + 1 from c where n < 1000000) select max(n) as n from c'
    try {
      assert.deepEqual(await db.get(busy), { n: 1_000_000 })
    } finally {
      clearInterval(timer)
    }
    assert.ok(turns >= 3, `${turns} turns`)
  })
})

describe('a transaction', () => {
  test('commits what its function did, and resolves to what it returned', async (t) => {
    const db = await open(t)
    const id = await db.transaction(async (tx) => {
      await tx.run("insert into users (email) values ('a@x')")
      await tx.exec("insert into users (email) values ('b@x'); insert into users (email) values ('c@x')")
      assert.equal((await tx.all('select id from users')).length, 3)
      assert.equal((await db.all('select id from users')).length, 0)
      return (await tx.get<{ id: number }>("select id from users where email = 'c@x'"))?.id
    })
    assert.equal(id, 3)
    assert.equal((await all(db)).length, 3)
  })

  test('is rolled back when its function throws, and rejects with that error', async (t) => {
    const db = await open(t)
    const fault = new Error('no')
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run("insert into users (email) values ('a@x')")
        throw fault
      }),
      (error) => error === fault,
    )
    assert.deepEqual(await all(db), [])
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run("insert into users (email) values ('a@x')")
        await tx.run("insert into users (email) values ('a@x')")
      }),
      { errname: 'SQLITE_CONSTRAINT_UNIQUE' },
    )
    assert.deepEqual(await all(db), [])
  })

  test('can continue after a failed statement, and supports savepoints', async (t) => {
    const db = await open(t)
    await db.transaction(async (tx) => {
      await tx.run("insert into users (email) values ('a@x')")
      await assert.rejects(tx.run("insert into users (email) values ('a@x')"), SqliteError)
      await tx.run('savepoint place')
      await tx.run("insert into users (email) values ('b@x')")
      await tx.run('rollback to place')
      await tx.run("insert into users (email) values ('c@x')")
    })
    assert.deepEqual(
      (await all<{ email: string }>(db)).map(({ email }) => email),
      ['a@x', 'c@x'],
    )
  })

  test('has the writer for itself: other writes follow it, reads do not wait', async (t) => {
    const db = await open(t)
    const order: string[] = []
    const held = db.transaction(async (tx) => {
      await tx.run("insert into users (email) values ('a@x')")
      await until('the other write to wait', () => sqliteHealth(db).writer.queued === 1)
      assert.deepEqual(await db.all('select id from users'), [])
      order.push('transaction')
    })
    await until('the transaction to have the writer', () => sqliteHealth(db).writer.busy === 1)
    const other = db.run("insert into users (email) values ('b@x')").then(() => order.push('other'))
    await Promise.all([held, other])
    assert.deepEqual(order, ['transaction', 'other'])
  })

  test('rejects a call that would wait for its own transaction', async (t) => {
    const db = await open(t)
    await db.transaction(async (tx) => {
      await breaks('nested-write', db.run('delete from users'))
      await breaks(
        'nested-write',
        db.transaction(async () => {}),
      )
      await breaks('transaction-control', tx.run('commit'))
      await tx.run("insert into users (email) values ('a@x')")
    })
    assert.equal((await all(db)).length, 1)
  })

  test('that times out is rolled back, rejects its later calls, and releases the writer', async (t) => {
    const events: string[] = []
    const db = await open(t, { onEvent: ({ type }) => events.push(type) })
    let later: unknown
    let onRejected: () => void = () => {}
    const rejected = new Promise<void>((resolve) => {
      onRejected = resolve
    })
    const expired = db.transaction(
      async (tx) => {
        await tx.run("insert into users (email) values ('a@x')")
        await until('the transaction to be over', () => sqliteHealth(db).writer.busy === 0)
        assert.deepEqual(abandonedOperations(), new Map([['pool test', 1]]))
        later = await tx.run('delete from users').catch((error: unknown) => error)
        onRejected()
      },
      { timeout: '500ms' },
    )
    await assert.rejects(expired, (error) => {
      assert.ok(error instanceof TransactionTimeoutError && isTimeout(error))
      assert.equal(error.committed, 'no')
      assert.deepEqual([error.pool, error.blockedBy], ['test', null])
      return true
    })
    await db.run("insert into users (email) values ('b@x')")
    assert.deepEqual(await db.all('select email from users'), [{ email: 'b@x' }])
    await within('its later call to be rejected', rejected)
    assert.ok(later instanceof TransactionTimeoutError, String(later))
    await until('no abandoned operation to be left', () => abandonedOperations().size === 0)
    assert.deepEqual(events, ['transaction-timeout'])
  })

  test('in which a call times out is rolled back, even if its function returns', async (t) => {
    const db = await open(t)
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run("insert into users (email) values ('a@x')")
        await withQueryTimeout('look-up', '100ms', () => tx.all(ENDLESS)).catch(() => {})
        await assert.rejects(tx.run("insert into users (email) values ('b@x')"), QueryTimeoutError)
      }),
      QueryTimeoutError,
    )
    assert.deepEqual(await all(db), [])
    assert.equal(sqliteHealth(db).counts.replaced, 0)
  })

  test('is given up with its request, both while it waits and while it is open', async (t) => {
    const db = await open(t)
    const scope = new WaitScope(performance.now(), NO_DEADLINE)
    const reason = new ClientDisconnectedError()
    const opened = scope.enter(() =>
      db.transaction(async (tx) => {
        await tx.run("insert into users (email) values ('a@x')")
        await tx.all(ENDLESS)
      }),
    )
    await until('the transaction to be open', () => sqliteHealth(db).writer.busy === 1)
    const waiting = scope.enter(() => db.transaction(async () => assert.fail('it must not begin')))
    scope.abort(reason)
    await assert.rejects(opened, (error) => error === reason)
    await assert.rejects(waiting, (error) => error === reason)
    await db.run("insert into users (email) values ('b@x')")
    assert.deepEqual(await db.all('select email from users'), [{ email: 'b@x' }])
    assert.equal(sqliteHealth(db).counts.replaced, 0)
  })

  test('waits for calls that were not awaited, and rejects calls that come after its end', async (t) => {
    const db = await open(t)
    let kept: SqliteQueries | undefined
    const floating: Promise<unknown>[] = []
    await db.transaction(async (tx) => {
      kept = tx
      for (let n = 0; n < 10; n++) floating.push(tx.run('insert into users (email) values (?)', [`${n}@x`]))
    })
    await Promise.all(floating)
    assert.equal((await all(db)).length, 10)
    await breaks('transaction-over', kept?.run('delete from users') ?? Promise.resolve())
  })

  test('rejects when the commit fails, or when SQLite has rolled it back', async (t) => {
    const db = await open(t)
    await db.exec(
      'create table child (id integer primary key, parent integer references users(id) deferrable initially deferred)',
    )
    await assert.rejects(
      db.transaction((tx) => tx.run('insert into child (parent) values (99)')),
      { errname: 'SQLITE_CONSTRAINT_FOREIGNKEY' },
    )
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run("insert into users (email) values ('a@x')")
        await tx.run("insert or rollback into users (email) values ('a@x')").catch(() => {})
        await tx.run("insert into users (email) values ('b@x')")
      }),
      { errname: 'SQLITE_ABORT_ROLLBACK' },
    )
    assert.deepEqual(await all(db), [])
    assert.equal(sqliteHealth(db).counts.replaced, 0)
  })

  test('that is deferred takes the lock with its first write', async (t) => {
    const db = await open(t)
    await db.transaction(
      async (tx) => {
        assert.deepEqual(await tx.all('select id from users'), [])
        await tx.run("insert into users (email) values ('a@x')")
      },
      { mode: 'deferred' },
    )
    assert.equal((await all(db)).length, 1)
  })
})

describe('closing', () => {
  const lostBecause = (reason: string) => (error: unknown) => {
    assert.ok(error instanceof ConnectionLostError, String(error))
    assert.equal(error.details?.reason, reason)
    return true
  }

  test('waits for running and queued calls, rejects new ones, and leaves one file', async (t) => {
    const path = directory(t)
    const db = openSqlite('test', join(path, 'test.db'))
    await db.exec('create table t (n)')
    const calls = Array.from({ length: 20 }, (_, n) => db.run('insert into t values (?)', [n]))
    const transaction = db.transaction(async (tx) => {
      await tx.run('insert into t values (100)')
      await tx.run('insert into t values (101)')
    })
    const closed = db.close()
    await assert.rejects(db.get('select 1'), lostBecause('database-closed'))
    await Promise.all([...calls, transaction])
    await within('the database to close', closed)
    assert.equal(db.close(), closed)
    assert.deepEqual(readdirSync(path), ['test.db'])
    const again = openSqlite('test', join(path, 'test.db'))
    t.after(() => again.close())
    assert.deepEqual(await again.get('select count(*) as n from t'), { n: 22 })
  })

  test('gives up calls that do not end within closeTimeout', async (t) => {
    const path = directory(t)
    const db = openSqlite('test', join(path, 'test.db'), { closeTimeout: '100ms', queryTimeout: 'unbounded' })
    const endless = assert.rejects(db.all(ENDLESS), lostBecause('close-timeout'))
    const stuck = assert.rejects(
      db.transaction(() => new Promise(() => {})),
      lostBecause('close-timeout'),
    )
    await until('both calls to run', () => sqliteHealth(db).readers.busy === 1 && sqliteHealth(db).writer.busy === 1)
    await within('the database to close', db.close())
    await Promise.all([endless, stuck])
    assert.equal(existsSync(join(path, 'test.db-wal')), false)
  })

  test('is possible right after opening', async (t) => {
    const path = directory(t)
    await within('the database to close', openSqlite('test', join(path, 'test.db')).close())
  })
})
