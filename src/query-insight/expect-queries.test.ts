import { AssertionError } from 'node:assert'
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { openSqlite, type SqliteDatabase } from '../sqlite/sqlite-database.ts'
import { allowRepeatedQueries } from './allow-repeated-queries.ts'
import { expectNoRepeats, expectQueries } from './expect-queries.ts'

async function open(t: TestContext): Promise<SqliteDatabase> {
  const db = openSqlite('lite', ':memory:')
  t.after(() => db.close())
  await db.exec('create table t (id integer primary key)')
  return db
}

describe('expectQueries', () => {
  test('returns the result of its function when the number of queries is right', async (t) => {
    const db = await open(t)
    const ask = async (n: number): Promise<number> => {
      for (let id = 0; id < n; id++) await db.get('select 1 from t where id = ?', [id])
      return n
    }
    assert.equal(await expectQueries(3, () => ask(3)), 3)
    assert.equal(await expectQueries({ max: 3 }, () => ask(2)), 2)
    assert.equal(await expectQueries(0, () => 7), 7)
    await assert.rejects(
      expectQueries(2, () => ask(3)),
      (error) => {
        assert.ok(error instanceof AssertionError)
        assert.deepEqual([error.actual, error.expected, error.operator], [3, 2, 'expectQueries'])
        assert.equal(error.message, 'expected 2 queries, got 3:\n  3 × select ? from t where id = ?')
        return true
      },
    )
    await assert.rejects(
      expectQueries({ max: 1 }, () => ask(2)),
      { code: 'ERR_ASSERTION', actual: 2, expected: 1, operator: 'expectQueries' },
    )
    await assert.rejects(
      expectQueries(1, () => 0),
      { code: 'ERR_ASSERTION', actual: 0, expected: 1, operator: 'expectQueries' },
    )
  })

  test('counts the queries that its function starts, also when nested', async (t) => {
    const db = await open(t)
    const ask = (): Promise<unknown> => db.get('select 1')
    await Promise.all([expectQueries(2, async () => void (await Promise.all([ask(), ask()]))), ask(), ask()])
    await expectQueries(3, async () => {
      await ask()
      await expectQueries(2, async () => {
        await ask()
        await ask()
      })
    })
    await expectQueries(1, () => db.transaction((tx) => tx.get('select 1')))
    await expectQueries(1, () => db.run('nonsense').catch(() => {}))
  })

  test('rejects with the error of its function', async () => {
    const fault = new Error('no')
    await assert.rejects(
      expectQueries(1, () => Promise.reject(fault)),
      (error) => error === fault,
    )
  })

  test('rejects invalid arguments', async () => {
    const code = 'PUNCTUAL_INVALID_OPTION'
    for (const given of [-1, 1.5, Number.NaN, {}, undefined]) {
      await assert.rejects(
        expectQueries(given as never, () => {}),
        { code, details: { option: 'expected', given } },
      )
    }
    await assert.rejects(
      expectNoRepeats(() => {}, { repeats: 1 }),
      { code, details: { option: 'repeats', given: 1 } },
    )
    assert.throws(() => allowRepeatedQueries('', () => {}), { code, details: { option: 'reason', given: '' } })
  })
})
