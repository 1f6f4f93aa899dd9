import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SessionState } from './session-state.ts'

const SLOW = 'select pg_sleep(20)'

/** A borrower that runs `statements`, then a query that is given up, then `cleanUp`. */
function isDoubtfulAfter(statements: readonly string[], cleanUp: readonly string[] = []): boolean {
  const session = new SessionState()
  const run = (sql: string): void => {
    session.noteQuery(sql)
    session.noteSuccess(sql)
  }
  for (const sql of statements) run(sql)
  session.noteQuery(SLOW)
  session.noteGivenUp(SLOW)
  for (const sql of cleanUp) run(sql)
  return session.isDoubtful
}

describe('the session of a borrower that was given up', () => {
  for (const sql of [
    'set role tenant_a',
    '/* as the tenant */ set role tenant_a',
    '-- as the tenant\nSET search_path TO a',
    'select 1; /* a */ /* b * c */ set role tenant_a',
    "select set_config('app.tenant', $1, false)",
    'select pg_try_advisory_lock_shared(1)',
    'create or replace temp view scratch as select 1',
    'select 1 as a into temporary scratch',
    'create table pg_temp.scratch (a int)',
    'do $$ begin set role tenant_a; end $$',
    'call become($1)',
    'select auth.become($1)',
    'select * from become($1)',
    'select count_as_tenant($1)',
  ]) {
    test(`is doubtful after ${JSON.stringify(sql)}`, () => assert.equal(isDoubtfulAfter([sql]), true))
  }

  for (const sql of [
    'select * from users',
    'select count(*) from users',
    'select now()',
    'select count (*) from users',
    'select jsonb_agg(a) from users',
    'select pg_catalog.max(a) from users',
    'begin; set local role tenant_a',
    "select set_config('app.tenant', $1, true)",
    'select pg_advisory_xact_lock(1)',
    "update users set role = 'a'",
    'insert into temperatures values (1)',
    '/* set role tenant_a */ select 1',
  ]) {
    test(`is clean after ${JSON.stringify(sql)}`, () => assert.equal(isDoubtfulAfter([sql]), false))
  }

  test('is clean when a function was given up itself, because its changes were undone', () => {
    const session = new SessionState()
    session.noteQuery('select * from report()')
    session.noteGivenUp('select * from report()')
    assert.equal(session.isDoubtful, false)
  })

  for (const sql of ['reset role', '/* done */ reset role', 'set role none', 'select become(null)', 'discard all']) {
    test(`is clean again after ${JSON.stringify(sql)}`, () => {
      assert.equal(isDoubtfulAfter(['set role tenant_a'], [sql]), false)
    })
  }

  for (const sql of ['rollback', "insert into errors values ('slow')", 'select 1']) {
    test(`is not clean again after ${JSON.stringify(sql)}`, () => {
      assert.equal(isDoubtfulAfter(['set role tenant_a'], [sql]), true)
    })
  }

  test('is searched for comments in linear time', () => {
    const start = performance.now()
    isDoubtfulAfter([
      `${'/* a */ '.repeat(20_000)}select 1`,
      `${'-- a\n'.repeat(20_000)}`,
      `/*${' * /'.repeat(50_000)}`,
    ])
    assert.ok(performance.now() - start < 5_000)
  })
})
