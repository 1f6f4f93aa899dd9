import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { StatementCache } from './thread-connection.ts'

test('keeps the most recently used statements, up to its size', (t) => {
  const database = new DatabaseSync(':memory:')
  t.after(() => database.close())
  const cache = new StatementCache(database, 2, false)
  const first = cache.take('select 1')
  const second = cache.take('select 2')
  assert.equal(cache.take('select 1'), first)
  cache.take('select 3')
  assert.equal(cache.take('select 1'), first)
  assert.notEqual(cache.take('select 2'), second)
})

test('keeps none with a size of 0', (t) => {
  const database = new DatabaseSync(':memory:')
  t.after(() => database.close())
  const cache = new StatementCache(database, 0, false)
  assert.notEqual(cache.take('select 1'), cache.take('select 1'))
})
