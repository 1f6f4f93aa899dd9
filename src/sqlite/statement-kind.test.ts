import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../errors/punctual-error.ts'
import type { SqliteRule } from './sqlite-errors.ts'
import { checkScript, checkStatement, hasSeveralStatements, statementKind } from './statement-kind.ts'

test('classifies a statement by its first word, after comments and semicolons', () => {
  assert.equal(statementKind('select 1'), 'read')
  assert.equal(statementKind(' \n-- insert\n/* delete */ ; SELECT 1'), 'read')
  assert.equal(statementKind('values (1)'), 'read')
  assert.equal(statementKind('explain query plan delete from t'), 'read')
  assert.equal(statementKind('with x as (select 1) insert into t select * from x'), 'maybe-write')
  assert.equal(statementKind('insert into t values (1)'), 'write')
  assert.equal(statementKind('create table t(n)'), 'write')
  assert.equal(statementKind('pragma user_version'), 'no-transaction')
  assert.equal(statementKind('vacuum'), 'no-transaction')
  assert.equal(statementKind('begin'), 'transaction-control')
  assert.equal(statementKind('rollback'), 'transaction-control')
  assert.equal(statementKind('rollback to place'), 'savepoint')
  assert.equal(statementKind('ROLLBACK /* all */ TRANSACTION TO "place"'), 'savepoint')
  assert.equal(statementKind('savepoint place'), 'savepoint')
  assert.equal(statementKind(''), 'write')
  assert.equal(statementKind('/* never closed'), 'write')
})

test('tells several statements from one that contains semicolons', () => {
  for (const single of [
    'select 1',
    'select 1;',
    'select 1; ; \n',
    "select ';' || ';x'",
    "select 'it''s; fine' as \"a;b\"",
    'select `a;b`, [c;d] from t',
    'select 1; -- and that is all',
    'select 1 /* ; select 2 */',
    '; select 1',
    'create trigger g after insert on t begin delete from u; delete from v; end;',
    'CREATE TEMP TRIGGER g after insert on t begin delete from u; end',
  ]) {
    assert.equal(hasSeveralStatements(single), false, single)
  }
  for (const several of [
    'select 1; select 2',
    "insert into t values (';'); delete from t",
    'select 1; /* and */ select 2',
    'create table t(n); create trigger g after insert on t begin delete from u; end;',
  ]) {
    assert.equal(hasSeveralStatements(several), true, several)
  }
})

test('rejects statements that would be ignored, or would affect other calls', () => {
  const refused = (rule: SqliteRule, check: typeof checkStatement, sql: unknown, inside = false): void => {
    assert.throws(
      () => check(sql, 'main', inside),
      (error) => error instanceof UsageError && error.details?.rule === rule,
    )
  }
  refused('several-statements', checkStatement, 'delete from t; delete from u')
  refused('transaction-control', checkStatement, 'begin')
  refused('transaction-control', checkStatement, 'savepoint x')
  refused('transaction-control', checkStatement, 'commit', true)
  refused('transaction-control', checkScript, 'begin; delete from t; commit')
  refused('script-not-atomic', checkScript, 'pragma foreign_keys = off; delete from t')
  refused('statement-type', checkStatement, undefined)
  assert.equal(checkStatement('savepoint x', 'main', true), 'savepoint')
  assert.equal(checkScript('select 1; delete from t', 'main', false), 'write')
  assert.equal(checkScript('pragma user_version = 1;', 'main', false), 'no-transaction')
})

test('handles a statement of several megabytes', () => {
  const sql = `insert into t values ('${"it''s; ".repeat(500_000)}')`
  assert.equal(hasSeveralStatements(sql), false)
  assert.equal(statementKind(`${' '.repeat(1_000_000)}select 1`), 'read')
})
