import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { guardPool, poolHealth, withQueryTimeout } from '../../../src/postgres/index.ts'
import { ClientDisconnectedError, isTimeout } from '../../../src/resilience/abort-reason.ts'
import { NO_DEADLINE } from '../../../src/resilience/clock.ts'
import { WaitScope } from '../../../src/resilience/wait-scope.ts'
import { until, within } from '../support/until.ts'
import { startPostgres, type TestServer } from './postgres.ts'

/** The queries to cancel. `npm run soak` sets 10,000. */
const CANCELS = Number(process.env.CANCELS ?? 1_000)
/** The connections of the pool; two more workers than these run at once. */
const CONNECTIONS = 8
/**
 * In milliseconds; about the length of the shortest queries, so that many cancels meet the end of a
 * query.
 */
const LONGEST_DELAY = 12

let server: TestServer
before(async () => {
  server = await startPostgres()
})
after(() => server.stop())

test(`none of ${CANCELS} cancels at random times hits another query`, async (t) => {
  const pool = guardPool('fuzz', new pg.Pool({ ...server.options('fuzz'), max: CONNECTIONS }), {
    onEvent: () => {},
  })
  t.after(() => within('the pool to end', pool.end()))
  let cancelled = 0
  let asked = 0
  let stray = 0

  /** Runs a query that may be cancelled at any time, then one that must not be. */
  const round = async (): Promise<void> => {
    const delay = Math.random() * LONGEST_DELAY
    const length = (Math.random() * LONGEST_DELAY) / 1_000
    const scope = new WaitScope(performance.now(), NO_DEADLINE)
    const byTimeout = Math.random() < 0.5
    const timer = byTimeout ? undefined : setTimeout(() => scope.abort(new ClientDisconnectedError()), delay)
    const doomed = (run: () => Promise<unknown>): Promise<unknown> =>
      byTimeout ? withQueryTimeout('doomed', delay + 0.1, run) : scope.enter(run)
    const note = (error: unknown): void => {
      assert.ok(isTimeout(error) || error instanceof ClientDisconnectedError, `unexpected: ${String(error)}`)
      cancelled++
    }
    const innocent = async (ask: (text: string, values: unknown[]) => Promise<pg.QueryResult>): Promise<void> => {
      const n = asked++
      try {
        const { rows } = await ask('select $1::int as n, pg_sleep(0.0005)', [n])
        assert.equal(rows[0].n, n)
      } catch (error) {
        if ((error as { code?: string }).code === '57014') stray++
        else throw error
      }
    }
    if (Math.random() < 0.5) {
      await doomed(() => pool.query('select pg_sleep($1)', [length])).catch(note)
      await innocent((text, values) => pool.query(text, values))
    } else {
      const client = await pool.connect()
      try {
        if (Math.random() < 0.5) await client.query('begin')
        const outcome = doomed(() => client.query('select pg_sleep($1)', [length])).catch(note)
        if (Math.random() < 0.5) await outcome
        await client.query('rollback')
        await innocent((text, values) => client.query(text, values))
        await outcome
      } finally {
        client.release()
      }
    }
    clearTimeout(timer)
  }

  const worker = async (): Promise<void> => {
    while (cancelled < CANCELS) await round()
  }
  await Promise.all(Array.from({ length: CONNECTIONS + 2 }, worker))

  assert.equal(stray, 0)
  await until('the pool to have everything back', () => poolHealth(pool).active === 0)
  await until('no statement to run', async () => (await server.running('fuzz')).length === 0)
  const { level, total, counts } = poolHealth(pool)
  assert.equal(level, 'HEALTHY')
  assert.equal(await server.sessions('fuzz'), total)
  t.diagnostic(
    `${cancelled} cancelled, ${asked} others, ${counts.cancels} cancels sent, ${counts.destroyed} connections destroyed`,
  )
  assert.equal(counts.destroyed, 0)
})
