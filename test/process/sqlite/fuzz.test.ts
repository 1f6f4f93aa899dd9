import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { abandonedOperations, ClientDisconnectedError } from '../../../src/index.ts'
import { NO_DEADLINE } from '../../../src/resilience/clock.ts'
import { WaitScope } from '../../../src/resilience/wait-scope.ts'
import {
  openSqlite,
  sqliteHealth,
  TransactionTimeoutError,
  WriteTimeoutError,
  withQueryTimeout,
} from '../../../src/sqlite/index.ts'
import { until, within } from '../support/until.ts'

/** Number of writes. `WRITES=20000` runs the long form. */
const WRITES = Number(process.env.WRITES ?? 2_000)
const CALLERS = 20
/** Milliseconds; about the time of 20 writes, so that many time out while they run or commit. */
const MAX_TIMEOUT = 4

test(`${WRITES} writes given up at random instants are committed exactly when their caller learns so`, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-sqlite-'))
  const db = openSqlite('fuzz', join(directory, 'test.db'), { onEvent: () => {} })
  t.after(async () => {
    await within('the database to close', db.close())
    rmSync(directory, { recursive: true, force: true })
  })
  await db.exec('create table t (id integer primary key, part integer)')

  const fates = new Map<number, 'yes' | 'no' | 'unknown'>()
  let started = 0

  const write = (id: number): Promise<unknown> => {
    const shape = id % 4
    if (shape === 0) return db.run('insert into t values (?, 1)', [id])
    if (shape === 1) return db.all('insert into t values (?, 1) returning id', [id])
    if (shape === 2) return db.exec(`insert into t values (${id}, 0); update t set part = 1 where id = ${id}`)
    return db.transaction(async (tx) => {
      await tx.run('insert into t values (?, 0)', [id])
      if (Math.random() < 0.3) await tx.all('select id from t')
      await tx.run('update t set part = 1 where id = ?', [id])
    })
  }

  const round = async (): Promise<void> => {
    const id = ++started
    const timeout = Math.random() * MAX_TIMEOUT
    const disconnects = Math.random() < 0.3
    const scope = new WaitScope(performance.now(), NO_DEADLINE)
    const timer = disconnects ? setTimeout(() => scope.abort(new ClientDisconnectedError()), timeout) : undefined
    const call = disconnects ? scope.enter(() => write(id)) : withQueryTimeout('write', timeout, () => write(id))
    const fate = await call.then(
      () => 'yes' as const,
      (error: unknown) => {
        if (error instanceof WriteTimeoutError || error instanceof TransactionTimeoutError) return error.committed
        // A shared reason cannot describe one write. A read that times out ends its transaction.
        if (error instanceof ClientDisconnectedError) return 'unknown'
        return String((error as Error).name) === 'QueryTimeoutError' ? 'no' : Promise.reject(error)
      },
    )
    clearTimeout(timer)
    fates.set(id, fate)
  }
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (started < WRITES) await round()
    }),
  )

  await until('the writer to be free', () => sqliteHealth(db).writer.busy === 0)
  const rows = await db.all<{ id: number; part: number }>('select id, part from t')
  const written = new Set(rows.map(({ id }) => id))
  const count = { yes: 0, no: 0, unknown: 0 }
  for (const [id, fate] of fates) {
    count[fate]++
    if (fate !== 'unknown') assert.equal(written.has(id), fate === 'yes', `write ${id} is reported as ${fate}`)
  }
  assert.ok(
    rows.every(({ part }) => part === 1),
    'none is committed in part',
  )
  assert.ok(count.yes > 0 && count.no > 0, JSON.stringify(count))
  const { counts, abandoned } = sqliteHealth(db)
  assert.deepEqual([counts.replaced, abandoned], [0, 0])
  await until('no abandoned operation to be left', () => abandonedOperations().size === 0)
  t.diagnostic(`${JSON.stringify(count)}, ${written.size} in the file`)
})
