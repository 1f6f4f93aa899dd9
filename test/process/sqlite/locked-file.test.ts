import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { isTimeout, withDeadline } from '../../../src/index.ts'
import {
  openSqlite,
  type SqliteDatabase,
  SqliteError,
  type SqliteOptions,
  sqliteHealth,
  TransactionTimeoutError,
  WriteTimeoutError,
  withQueryTimeout,
} from '../../../src/sqlite/index.ts'
import { until, within } from '../support/until.ts'
import { holdLock, type LockHolder } from './lock-holder.ts'

function filePath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-sqlite-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'test.db')
}

function open(t: TestContext, path: string, options: SqliteOptions = {}): SqliteDatabase {
  const db = openSqlite('test', path, { onEvent: () => {}, ...options })
  t.after(() => within('the database to close', db.close()))
  return db
}

async function hold(t: TestContext, path: string): Promise<LockHolder> {
  const holder = await holdLock(path)
  t.after(() => holder.kill())
  return holder
}

test('while another process locks the file, reads continue and writes time out; after it both succeed', async (t) => {
  const path = filePath(t)
  // Long enough for the reads, which must succeed; the writes cannot.
  const db = open(t, path, { queryTimeout: '1500ms' })
  await withQueryTimeout('set-up', '20s', async () => {
    await db.exec(
      "create table users (id integer primary key, email text unique); insert into users (email) values ('a@x')",
    )
    await db.get('select 1')
  })
  const holder = await hold(t, path)

  let longestTurn = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    longestTurn = Math.max(longestTurn, now - last)
    last = now
  }, 5)
  const callers = Array.from({ length: 100 }, async (_, n) => {
    const startedAt = performance.now()
    const error = await db.run('insert into users (email) values (?)', [`${n}@x`]).then(
      () => undefined,
      (fault: unknown) => fault,
    )
    return { error, took: performance.now() - startedAt }
  })
  const reads = Array.from({ length: 100 }, () => db.get('select email from users'))
  assert.ok((await Promise.all(reads)).every((row) => row?.email === 'a@x'))
  assert.equal(sqliteHealth(db).counts.timedOut, 0, 'reads do not wait for writes')
  const ends = await Promise.all(callers)
  clearInterval(timer)

  for (const { error } of ends) {
    assert.ok(error instanceof WriteTimeoutError && isTimeout(error), String(error))
    assert.equal(error.committed, 'no')
  }
  assert.ok(ends[0]?.error instanceof WriteTimeoutError)
  assert.equal(ends[0].error.blockedBy, 'file-lock')
  const longest = Math.max(...ends.map(({ took }) => took))
  t.diagnostic(
    `100 writes of 1,500 ms: the last timed out after ${Math.round(longest)} ms; longest turn ${Math.round(longestTurn)} ms`,
  )
  // A generous bound, because the machine is shared. One after the other they would take 2.5
  // minutes.
  assert.ok(longest < 30_000, `${longest} ms`)
  assert.ok(sqliteHealth(db).counts.busyRetries > 0)
  assert.equal(sqliteHealth(db).counts.replaced, 0)

  await holder.release()
  await withQueryTimeout('after', '20s', async () => {
    assert.equal((await db.run("insert into users (email) values ('after@x')")).changes, 1)
    assert.deepEqual(await db.get('select count(*) as n from users'), { n: 2 })
  })
})

test('a write and a transaction that wait for the lock run when it is released', async (t) => {
  const path = filePath(t)
  const db = open(t, path)
  await db.exec('create table t (n)')
  const holder = await hold(t, path)
  const write = db.run('insert into t values (1)')
  const transaction = db.transaction(async (tx) => {
    await tx.run('insert into t values (2)')
    return tx.all('select n from t order by n')
  })
  await until('the call to be retried', () => sqliteHealth(db).counts.busyRetries > 3)
  await holder.release()
  assert.equal((await write).changes, 1)
  assert.deepEqual(await transaction, [{ n: 1 }, { n: 2 }])
})

test('the lock of a killed process is released', async (t) => {
  const path = filePath(t)
  const db = open(t, path)
  await db.exec('create table t (n)')
  const holder = await hold(t, path)
  const write = db.run('insert into t values (1)')
  await until('the call to be retried', () => sqliteHealth(db).counts.busyRetries > 3)
  await holder.kill()
  assert.equal((await write).changes, 1)
})

test('a transaction that cannot get the lock times out, at its start or at its first write', async (t) => {
  const path = filePath(t)
  const db = open(t, path)
  await db.exec('create table t (n)')
  const holder = await hold(t, path)
  await assert.rejects(
    db.transaction(async () => assert.fail('it must not start'), { timeout: '150ms' }),
    (error) => error instanceof TransactionTimeoutError && error.blockedBy === 'file-lock',
  )
  await assert.rejects(
    db.transaction(
      async (tx) => {
        assert.deepEqual(await tx.all('select n from t'), [])
        await withQueryTimeout('late', '150ms', () => tx.run('insert into t values (1)'))
      },
      { mode: 'deferred' },
    ),
    WriteTimeoutError,
  )
  await holder.release()
  assert.deepEqual(await db.get('select count(*) as n from t'), { n: 0 })
  assert.equal(sqliteHealth(db).counts.replaced, 0)
})

test('a deferred transaction with an outdated snapshot rejects with the advice to repeat it', async (t) => {
  const path = filePath(t)
  const db = open(t, path)
  await db.exec('create table t (n)')
  const other = new DatabaseSync(path)
  t.after(() => other.close())
  await assert.rejects(
    db.transaction(
      async (tx) => {
        await tx.all('select n from t')
        other.exec('insert into t values (1)')
        await tx.run('insert into t values (2)')
      },
      { mode: 'deferred' },
    ),
    (error) => {
      assert.ok(error instanceof SqliteError)
      assert.equal(error.errname, 'SQLITE_BUSY_SNAPSHOT')
      assert.equal(error.details?.advice, 'repeat-transaction')
      return true
    },
  )
})

test('calls that wait for a locked file to be opened keep their own timeouts', async (t) => {
  const path = filePath(t)
  const first = new DatabaseSync(path)
  first.exec('create table t (n); insert into t values (1)')
  first.close()
  const holder = await hold(t, path)
  const db = open(t, path)
  const patient = db.get('select n from t')
  await assert.rejects(
    withDeadline('request', '300ms', () => db.get('select n from t')),
    (error) => isTimeout(error),
  )
  assert.equal(sqliteHealth(db).journalMode, '')
  await holder.release()
  assert.deepEqual(await patient, { n: 1 })
  assert.equal(sqliteHealth(db).journalMode, 'wal')
})
