import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorOf, errorOfOpening, FILE_LOCK, TransactionTimeoutError, WriteTimeoutError } from './sqlite-errors.ts'

const TIMEOUT = { pool: 'main', operation: null, timeout: 100, elapsed: 100, timedOutBy: 'own' } as const

test('a timeout says what blocked the write, and whether it was committed', () => {
  const write = new WriteTimeoutError(TIMEOUT, 'delete from t', 'no', FILE_LOCK)
  assert.match(
    write.message,
    /: delete from t; it waited for a lock that another connection holds on the file; it was not committed$/,
  )
  const transaction = new TransactionTimeoutError(TIMEOUT, 'unknown', null)
  assert.match(transaction.message, /; it may have been committed$/)
})

test('an error of SQLite has its name, the statement and what to do, but no values', () => {
  const message = (errcode: number, text: string, sql: string): string =>
    errorOf({ type: 'sqlite', errcode, message: text }, 'main', sql).message
  assert.equal(
    message(2067, 'UNIQUE constraint failed: users.email', "insert into users (email) values ('a@x')"),
    'database main: UNIQUE constraint failed: users.email [SQLITE_CONSTRAINT_UNIQUE] (insert into users (email) values (?))',
  )
  assert.match(
    message(517, 'database is locked', 'delete from t'),
    /; another process has written since .*: repeat the/,
  )
  assert.match(message(1, 'cannot start a transaction within a transaction', 'begin'), /: remove BEGIN and COMMIT$/)
  assert.doesNotMatch(message(1, `near "'secret": syntax error`, 'select'), /secret/)
})

test('the error of a file that cannot be opened has its path', () => {
  const { message } = errorOfOpening(
    { type: 'sqlite', errcode: 14, message: 'unable to open database file' },
    'main',
    '/data/x.db',
  )
  assert.equal(message, 'database main: unable to open database file [SQLITE_CANTOPEN]; the file is /data/x.db')
})
