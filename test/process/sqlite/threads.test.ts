import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { type NodeMajor, nodeBinary } from '../../../scripts/nodes.ts'
import { abandonedOperations } from '../../../src/index.ts'
import {
  ConnectionLostError,
  openSqlite,
  QueryTimeoutError,
  type SqliteDatabase,
  type SqliteEvent,
  type SqliteHealth,
  type SqliteOptions,
  sqliteHealth,
  withQueryTimeout,
} from '../../../src/sqlite/index.ts'
import { until, within } from '../support/until.ts'

const INDEX = pathToFileURL(join(import.meta.dirname, '../../../src/sqlite/index.ts')).href

/** One step of SQLite that takes about a second and cannot be cancelled. */
const HUNG =
  'with recursive c(n) as (select 1 union all select n + 1 from c where n < 4000000) select count(*) as n from c'

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'punctual-sqlite-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function open(
  t: TestContext,
  options: SqliteOptions = {},
): { db: SqliteDatabase; events: SqliteEvent[]; path: string } {
  const events: SqliteEvent[] = []
  const path = join(directory(t), 'test.db')
  const db = openSqlite('test', path, {
    cancelTimeout: '50ms',
    onEvent: (event) => events.push(event),
    ...options,
  })
  t.after(() => within('the database to close', db.close()))
  return { db, events, path }
}

function isIntact(path: string): boolean {
  const database = new DatabaseSync(path)
  try {
    return database.prepare('pragma integrity_check').get()?.integrity_check === 'ok'
  } finally {
    database.close()
  }
}

describe('a query that cannot be cancelled', () => {
  test('costs its thread: another one replaces it and serves the queue', async (t) => {
    const events: SqliteEvent[] = []
    const then: SqliteHealth[] = []
    // Read inside the event, because the thread soon exits by itself.
    const onEvent = (event: SqliteEvent): void => {
      events.push(event)
      then.push(sqliteHealth(db))
    }
    const { db } = open(t, { readers: 1, onEvent })
    await db.exec('create table t (n); insert into t values (1)')
    await db.get('select n from t')
    const hung = assert.rejects(
      withQueryTimeout('report', '50ms', () => db.get(HUNG)),
      QueryTimeoutError,
    )
    await until('the query to run', () => sqliteHealth(db).readers.busy === 1)
    const waiting = db.get('select n from t')
    await hung
    assert.deepEqual(abandonedOperations(), new Map([['report', 1]]))
    assert.deepEqual(await waiting, { n: 1 })
    assert.deepEqual([then[0]?.abandoned, then[0]?.level === 'HEALTHY'], [1, false])
    assert.equal(sqliteHealth(db).counts.replaced, 1)
    assert.equal(events[0]?.type, 'thread-abandoned')
    assert.deepEqual(events[0].details, { role: 'reader', reason: 'not-cancelled', replaced: true, abandoned: 1 })
    await until('the thread to have exited', () => sqliteHealth(db).abandoned === 0)
    assert.equal(abandonedOperations().size, 0)
    assert.equal(sqliteHealth(db).level, 'HEALTHY')
  })

  test('inside a transaction is rolled back, and the next write succeeds', async (t) => {
    const { db, path } = open(t)
    await db.exec('create table t (n)')
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run('insert into t values (1)')
        await withQueryTimeout('report', '50ms', () => tx.get(HUNG))
      }),
      QueryTimeoutError,
    )
    assert.equal((await db.run('insert into t values (2)')).changes, 1)
    assert.deepEqual(await db.all('select n from t'), [{ n: 2 }])
    await until('the thread to have exited', () => sqliteHealth(db).abandoned === 0)
    assert.deepEqual(await db.all('select n from t'), [{ n: 2 }])
    await db.close()
    assert.ok(isIntact(path))
  })

  test('is rolled back when its step returns, although its caller has given up', async (t) => {
    const { db } = open(t, { cancelTimeout: '20s' })
    await db.exec('create table t (n)')
    const slow = `insert into t ${HUNG}`
    await assert.rejects(
      withQueryTimeout('import', '50ms', () => db.run(slow)),
      (error) => error instanceof QueryTimeoutError && 'committed' in error && error.committed === 'no',
    )
    assert.deepEqual(await db.get('select count(*) as n from t'), { n: 0 })
    await until('its thread to be free', () => sqliteHealth(db).writer.busy === 0)
    assert.deepEqual(await db.get('select count(*) as n from t'), { n: 0 })
    assert.equal(sqliteHealth(db).counts.replaced, 0)
  })

  test('is not replaced beyond maxAbandonedThreads', async (t) => {
    const { db, events } = open(t, { readers: 1, maxAbandonedThreads: 0 })
    await db.exec('create table t (n); insert into t values (1)')
    await db.get('select n from t')
    await assert.rejects(
      withQueryTimeout('report', '50ms', () => db.get(HUNG)),
      QueryTimeoutError,
    )
    await until('it to be given up', () => sqliteHealth(db).abandoned === 1)
    assert.equal(events[0]?.type, 'thread-abandoned')
    assert.deepEqual(events[0].details, { role: 'reader', reason: 'not-cancelled', replaced: false, abandoned: 1 })
    assert.equal(sqliteHealth(db).readers.threads, 0)
    assert.deepEqual(await db.get('select n from t'), { n: 1 })
    assert.equal(sqliteHealth(db).abandoned, 0)
  })

  test('loses a database in memory, and later calls reject with that reason', async (t) => {
    const events: SqliteEvent[] = []
    const db = openSqlite('test', ':memory:', { cancelTimeout: '50ms', onEvent: (event) => events.push(event) })
    t.after(() => db.close())
    await db.exec('create table t (n)')
    await assert.rejects(
      withQueryTimeout('report', '50ms', () => db.get(HUNG)),
      QueryTimeoutError,
    )
    await until('its thread to be given up', () => events.length === 1)
    await assert.rejects(db.get('select n from t'), (error) => {
      assert.ok(error instanceof ConnectionLostError)
      assert.equal(error.details?.reason, 'memory-lost')
      return true
    })
    assert.equal(sqliteHealth(db).level, 'CRITICAL')
    await until('the thread to have exited', () => sqliteHealth(db).abandoned === 0)
  })
})

describe('a thread that dies', () => {
  /** The threads started from now on, the writer first. */
  function watchThreads(t: TestContext): Worker[] {
    const threads: Worker[] = []
    const note = (thread: Worker): void => {
      threads.push(thread)
    }
    process.on('worker', note)
    t.after(() => process.off('worker', note))
    return threads
  }

  test('rejects its current call; the others run on another thread', async (t) => {
    const threads = watchThreads(t)
    const { db, events } = open(t, { readers: 1 })
    await db.exec('create table t (n); insert into t values (1)')
    await db.get('select n from t')
    const doomed = assert.rejects(db.all(HUNG.replace('count(*) as n', 'n')), (error) => {
      assert.ok(error instanceof ConnectionLostError)
      assert.equal(error.details?.reason, 'thread-died')
      assert.match(String(error.details?.sql), /^with recursive/)
      return true
    })
    const waiting = db.get('select n from t')
    await until('the query to run', () => sqliteHealth(db).readers.queued === 1)
    await threads[1]?.terminate()
    await doomed
    assert.deepEqual(await waiting, { n: 1 })
    assert.equal(sqliteHealth(db).counts.replaced, 1)
    assert.equal(events[0]?.type, 'thread-crashed')
    assert.deepEqual(events[0].details, { role: 'reader', replaced: true })
  })

  test('is replaced, both while idle and inside a transaction', async (t) => {
    const threads = watchThreads(t)
    const { db } = open(t, { readers: 1 })
    await db.exec('create table t (n)')
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.run('insert into t values (1)')
        await threads[0]?.terminate()
        await tx.run('insert into t values (2)')
      }),
      (error) => error instanceof ConnectionLostError && error.details?.reason === 'transaction-lost',
    )
    assert.deepEqual(await db.all('select n from t'), [])
    await db.run('insert into t values (3)')
    await threads[1]?.terminate()
    assert.deepEqual(await db.all('select n from t'), [{ n: 3 }])
    assert.equal(sqliteHealth(db).counts.replaced, 2)
  })
})

interface Child {
  readonly process: ChildProcess
  readonly output: () => string
  readonly exited: Promise<number | null>
}

/**
 * Runs an app in its own process, with `db` open, `punctual` imported, and `send` to message the
 * test.
 */
function startApp(
  t: TestContext,
  path: string,
  code: string,
  node = process.execPath,
  flags: readonly string[] = [],
): Child {
  const file = join(directory(t), 'app.ts')
  writeFileSync(
    file,
    `import * as punctual from ${JSON.stringify(INDEX)}
const db = punctual.openSqlite('test', ${JSON.stringify(path)})
const send = (what: unknown) => process.send?.(what)
${code}`,
  )
  const child = spawn(node, [...flags, file], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text) => (output += text))
  const exited = new Promise<number | null>((resolve) => child.once('close', (exitCode) => resolve(exitCode)))
  return { process: child, output: () => output, exited }
}

function nextMessage(child: Child): Promise<unknown> {
  const message = new Promise((resolve, reject) => {
    child.process.once('message', resolve)
    void child.exited.then((code) => reject(new Error(`it exited with ${code}: ${child.output()}`)))
  })
  return within('the app to send a message', message)
}

describe('a process', () => {
  test('that is killed inside a transaction leaves an intact file without it', async (t) => {
    const path = join(directory(t), 'test.db')
    const app = startApp(
      t,
      path,
      `await db.exec('create table t (n); insert into t values (1)')
       await db.transaction(async (tx) => {
         await tx.run("insert into t select value from json_each('[' || replace(hex(zeroblob(50000)), '00', '7,') || '7]')")
         send('inside')
         await new Promise(() => {})
       })`,
    )
    assert.equal(await nextMessage(app), 'inside')
    app.process.kill('SIGKILL')
    await within('the app to exit', app.exited)
    const db = openSqlite('test', path)
    t.after(() => db.close())
    assert.deepEqual(await db.all('select n from t'), [{ n: 1 }])
    assert.equal((await db.run('insert into t values (2)')).changes, 1)
    await db.close()
    assert.ok(isIntact(path))
  })

  test('exits by itself while a database is open, but not while a call waits', async (t) => {
    const path = join(directory(t), 'test.db')
    const app = startApp(
      t,
      path,
      `await db.exec('create table t (n)')
       punctual.withQueryTimeout('seed', 'unbounded', () => db.run('insert into t values (1)')).then(() => console.log('done'))`,
    )
    assert.equal(await within('the app to exit', app.exited), 0)
    assert.equal(app.output(), 'done\n')
  })

  for (const major of [22, 24, 26] satisfies NodeMajor[]) {
    test(`on Node ${major} reads, writes, cancels queries that time out, and prints nothing`, async (t) => {
      const path = join(directory(t), 'test.db')
      const preload = join(directory(t), 'preload.mjs')
      writeFileSync(
        preload,
        "import { isMainThread } from 'node:worker_threads'\nif (!isMainThread) console.log('preloaded')\n",
      )
      const app = startApp(
        t,
        path,
        `await db.exec('create table t (id integer primary key, n text unique)')
         await db.run('insert into t (n) values (:n)', { n: 'one' })
         const rows = await db.all('select n from t where id = ?', [1])
         const names: string[] = []
         const note = (error: any) => { names.push(error.name + ' ' + (error.errname ?? '')) }
         await db.run("insert into t (n) values ('one')").catch(note)
         const endless = 'with recursive c(n) as (select 1 union all select n + 1 from c) select n from c'
         await punctual.withQueryTimeout('x', '100ms', () => db.all(endless)).catch(note)
         await db.transaction(async (tx) => { await tx.run("insert into t (n) values ('two')"); throw new Error() }).catch(note)
         await db.close()
         send({ rows, names, replaced: punctual.sqliteHealth(db).counts.replaced })
         process.disconnect()`,
        nodeBinary(major),
        ['--disable-warning=ExperimentalWarning', '--import', pathToFileURL(preload).href],
      )
      assert.deepEqual(await nextMessage(app), {
        rows: [{ n: 'one' }],
        names: ['SqliteError SQLITE_CONSTRAINT_UNIQUE', 'QueryTimeoutError ', 'Error '],
        replaced: 0,
      })
      assert.equal(await within('the app to exit', app.exited), 0)
      assert.equal(app.output(), '')
    })
  }
})
