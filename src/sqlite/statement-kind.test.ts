import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../errors/punctual-error.ts'
import type { SqliteRule } from './sqlite-errors.ts'
import { checkScript, checkStatement, hasSeveralStatements, statementKind } from './statement-kind.ts'

test('a statement is known by its first word, whatever stands before it', () => {
  assert.equal(statementKind('select 1'), 'read')
  assert.equal(statementKind(' \n-- insert\n/* delete */ ; SELECT 1'), 'read')
  assert.equal(statementKind('values (1)'), 'read')
  assert.equal(statementKind('explain query plan delete from t'), 'read')
  assert.equal(statementKind('with x as (select 1) insert into t select * from x'), 'mixed')
  assert.equal(statementKind('insert into t values (1)'), 'write')
  assert.equal(statementKind('create table t(n)'), 'write')
  assert.equal(statementKind('pragma user_version'), 'bare')
  assert.equal(statementKind('vacuum'), 'bare')
  assert.equal(statementKind('begin'), 'boundary')
  assert.equal(statementKind('rollback'), 'boundary')
  assert.equal(statementKind('rollback to place'), 'savepoint')
  assert.equal(statementKind('ROLLBACK /* all */ TRANSACTION TO "place"'), 'savepoint')
  assert.equal(statementKind('savepoint place'), 'savepoint')
  assert.equal(statementKind(''), 'write')
  assert.equal(statementKind('/* never closed'), 'write')
})

test('several statements are told from one that holds semicolons', () => {
  for (const one of [
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
    assert.equal(hasSeveralStatements(one), false, one)
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

test('what would be lost, or would cross the calls of others, is refused', () => {
  const refused = (rule: SqliteRule, check: typeof checkStatement, sql: unknown, inside = false): void => {
    assert.throws(
      () => check(sql, 'main', inside),
      (error) => error instanceof UsageError && error.details?.rule === rule,
    )
  }
  refused('several-statements', checkStatement, 'delete from t; delete from u')
  refused('transaction-boundary', checkStatement, 'begin')
  refused('transaction-boundary', checkStatement, 'savepoint x')
  refused('transaction-boundary', checkStatement, 'commit', true)
  refused('transaction-boundary', checkScript, 'begin; delete from t; commit')
  refused('script-not-atomic', checkScript, 'pragma foreign_keys = off; delete from t')
  refused('statement-type', checkStatement, undefined)
  assert.equal(checkStatement('savepoint x', 'main', true), 'savepoint')
  assert.equal(checkScript('select 1; delete from t', 'main', false), 'write')
  assert.equal(checkScript('pragma user_version = 1;', 'main', false), 'bare')
})

test('a text of megabytes is looked at without running out of anything', () => {
  const sql = `insert into t values ('${"it''s; ".repeat(500_000)}')`
  assert.equal(hasSeveralStatements(sql), false)
  assert.equal(statementKind(`${' '.repeat(1_000_000)}select 1`), 'read')
})
