import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { rangeParameters, readsRange } from './query-text.ts'
import { explainableSql, formatSql, normalizeSql, shortenSql, statementRole } from './sql-text.ts'

const same = (one: string, other: string): void => assert.equal(normalizeSql(one).text, normalizeSql(other).text)

test('shortenSql hides every value of a statement', () => {
  const cases: readonly (readonly [string, string])[] = [
    [`select * from users where name = 'O''Hara' and age > 42`, 'select * from users where name = ? and age > ?'],
    [`select E'a\\'secret', b'01', 3.14e10, $1, t1.c2`, 'select ?, ?, ?, $1, t1.c2'],
    ['select $tag$ secret $other$ 1 $tag$, $$secret$$', 'select ?, ?'],
    [`select 1 -- the password is 'x'\n, 2 /* and 'y' */ from "My Table 2"`, 'select ? , ? from "My Table 2"'],
    [`select 'never closed, secret`, 'select ?'],
    ['select  1\n\tfrom\n  t', 'select ? from t'],
  ]
  for (const [sql, shown] of cases) assert.equal(shortenSql(sql), shown)
})

test('shortenSql truncates a long statement, and hides a value that is truncated', () => {
  const columns = Array.from({ length: 100 }, (_, n) => `column_${n}`).join(', ')
  assert.equal(shortenSql(`select ${columns} from t`).length, 160)
  assert.equal(shortenSql(`select '${'secret '.repeat(1_000_000)}'`), 'select ?')
})

describe('a normalized statement', () => {
  test('is equal for other values, comments and white space', () => {
    same(
      "select a from t where b = 'x' -- one\n and c = 1",
      "select  a from t\n/* two */ where b = 'it''s' and c = 23.5",
    )
    same('select a from t where b = $1;', 'select a from t where b = $1')
    same("select E'a\\'b', $$x$$", "select E'c', $tag$y$tag$")
  })

  test('is equal for lists of any length', () => {
    same('select a from t where id in ($1, $2, $3) and b = $4', 'select a from t where id in ($1) and b = $2')
    same('select a from t where id in (1,2,3)', 'select a from t where id IN (7)'.replace('IN', 'in'))
    same('select a from t where id in (?, ?)', 'select a from t where id in (?)')
    same('insert into t (a, b) values ($1, $2), ($3, $4)', 'insert into t (a, b) values ($1, $2)')
    same("insert into t values (1, 'a'), (2, null)", 'insert into t values (3, default)')
    const list = (length: number): string =>
      `select a from t where id in (${Array.from({ length }, (_, n) => `$${n + 1}`).join(', ')})`
    same(list(2), list(400))
    same(list(2), list(5_000))
  })

  test('differs for other tables, columns and conditions', () => {
    const texts = [
      'select a from t',
      'select b from t',
      'select a from u',
      'select a from t where a = $1',
      'select "a1" from t',
    ]
    assert.equal(new Set(texts.map((text) => normalizeSql(text).text)).size, texts.length)
  })

  test('tells whether it has several values or rows', () => {
    const many = [
      'select 1 from t where a in ($1, $2)',
      'insert into t values ($1, $2), ($3, $4)',
      'select 1 from t where a in (1,2)',
    ]
    const few = [
      'select 1 from t where a in ($1)',
      'insert into t values ($1, $2)',
      'select 1, 2 from t where a = any($1)',
    ]
    assert.deepEqual(
      many.map((text) => normalizeSql(text).many),
      [true, true, true],
    )
    assert.deepEqual(
      few.map((text) => normalizeSql(text).many),
      [false, false, false],
    )
  })

  test('is scanned to a limited length', () => {
    const start = performance.now()
    normalizeSql(`insert into t values ${"('some text', 1),".repeat(500_000)}`)
    const once = performance.now() - start
    assert.ok(once < 2_000, `${once} ms`)
  })

  test('is formatted without a long list of columns', () => {
    assert.equal(
      formatSql(
        'select id, referral_id, status, coalesce((select 1 from x), ?) from referral_tests where referral_id = $1',
      ),
      'select … from referral_tests where referral_id = $1',
    )
    assert.equal(formatSql('select * from t'), 'select * from t')
    assert.ok(formatSql(`select a from ${'t'.repeat(500)}`).length <= 160)
  })
})

describe('parameters that choose a range of rows', () => {
  const cases: readonly (readonly [string, readonly (string | number)[]])[] = [
    ['select a from t where id > $1 order by id limit $2', [0, 1]],
    ['select a from t where b = $1 and id > $2 limit 5 offset $3', [1, 2]],
    ['select a from t where (a, b) > ($1, $2)', [0, 1]],
    ['select a from t where id between $1 and $2 and c = $3', [0, 1]],
    ['select a from t where id = any($1) and c = $2', [0]],
    ['select a from t where id in ($1, $2)', [0, 1]],
    ['select a from t where id in ($1)', []],
    ["select a from t where a->>$1 = 'x' and b <> $2 and c @> $3", []],
    ['select a from t where a = $1 and b > $1', []],
    ["select a from t where b = 'it is > $9' and a > ?", [0]],
    ['select a from t where a = ? and b >= ? limit ?', [1, 2]],
    ['select a from t where a = :a and b > :b limit :size', ['b', 'size']],
    ['select a::text from t where a = $1', []],
  ]
  for (const [sql, ranges] of cases) {
    test(sql, () => assert.deepEqual([...rangeParameters(sql)].sort(), ranges))
  }

  test('are also found as values in the text', () => {
    assert.ok(readsRange(normalizeSql('select a from t order by a limit 10 offset 20').text))
    assert.ok(readsRange(normalizeSql('select a from t where id > 7 order by a limit 10').text))
    assert.ok(!readsRange(normalizeSql('select a from t where id = 7 limit 1').text))
  })
})

test('the role of a statement comes from its first word', () => {
  const roles = {
    read: ['select 1', '(select 1)', 'with a as (select 1) select * from a', 'table t'],
    write: ['insert into t values (…)', 'update t set a = ?', 'with a as (delete from t returning *) select * from a'],
    control: ['begin', 'COMMIT', 'rollback to a', 'set local x = ?', 'fetch ? from c', 'pragma user_version'],
    other: ['create table t (a int)', 'alter table t add b int', 'truncate t', 'vacuum', ''],
  }
  for (const [role, texts] of Object.entries(roles)) {
    for (const text of texts) assert.equal(statementRole(text), role, text)
  }
})

test('a statement for EXPLAIN has parameters in place of values', () => {
  assert.equal(
    explainableSql(
      "select a from t where b = $1 and c = 'secret' and d > interval '1 day' and e = 12345 limit 10 -- x",
    ),
    'select a from t where b = $1 and c = $2 and d > $3::interval and e = $4 limit 10',
  )
  assert.equal(explainableSql(`select ${'a, '.repeat(1_000)} b`), null)
})
