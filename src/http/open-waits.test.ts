import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatOpenWaits } from './open-waits.ts'

test('open waits are formatted longest first, with the unnamed waits inside', () => {
  const waits = [
    { name: '127.0.0.1:5432 (postgresql)', since: 100 },
    { name: 'stock', since: 20_000, via: ['10.0.0.9:8080 (http)', 'looking up db.internal'] },
  ]
  assert.equal(
    formatOpenWaits(waits, 30_000),
    'waiting 29.9 s for 127.0.0.1:5432 (postgresql), 10.0 s for stock via 10.0.0.9:8080 (http) and looking up db.internal',
  )
})

test('the longest of many waits are formatted and the rest counted; none give an empty text', () => {
  const waits = ['a', 'b', 'c', 'd', 'e'].map((name, since) => ({ name, since }))
  assert.equal(formatOpenWaits(waits, 104), 'waiting 104 ms for a, 103 ms for b, 102 ms for c and 2 more')
  assert.equal(formatOpenWaits([], 100), '')
})
