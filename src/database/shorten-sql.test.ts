import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shortenSql } from './shorten-sql.ts'

test('no value of a statement gets out', () => {
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

test('a long statement is cut, and what was cut in the middle of a value shows none of it', () => {
  const columns = Array.from({ length: 100 }, (_, n) => `column_${n}`).join(', ')
  assert.equal(shortenSql(`select ${columns} from t`).length, 160)
  assert.equal(shortenSql(`select '${'secret '.repeat(1_000_000)}'`), 'select ?')
})
