import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { INVALIDATE_ALL, invalidationOfKey, invalidationOfTag, PendingInvalidations } from './invalidation.ts'

const nothing = (): void => {}

describe('invalidations that Redis does not have yet', () => {
  test('cover their keys until Redis has them', () => {
    const pending = new PendingInvalidations(10)
    const first = pending.add(invalidationOfKey('a'), nothing)
    assert.equal(pending.covers('a'), true)
    assert.equal(pending.covers('b'), false)
    first.done()
    assert.equal(pending.covers('a'), false)
    assert.equal(pending.next(10), null)
  })

  test('the reply to an earlier one does not remove a later one of the same key', () => {
    const pending = new PendingInvalidations(10)
    const first = pending.add(invalidationOfKey('a'), nothing)
    const sent = pending.next(10)
    pending.add(invalidationOfKey('a'), nothing)
    first.done()
    sent?.done()
    assert.equal(pending.covers('a'), true)
    pending.next(10)?.done()
    assert.equal(pending.size, 0)
  })

  test('a key that is being sent is not the next, but still covered', () => {
    const pending = new PendingInvalidations(10)
    pending.add(invalidationOfKey('a'), nothing)
    pending.add(invalidationOfKey('b'), nothing)
    assert.deepEqual(pending.next(10, new Set(['a']))?.invalidation, { keys: ['b'], tags: [], all: false })
    assert.equal(pending.next(10, new Set(['a', 'b'])), null)
    assert.equal(pending.covers('a'), true)
  })

  test('a tag covers every key', () => {
    const pending = new PendingInvalidations(10)
    const tag = pending.add(invalidationOfTag('group'), nothing)
    assert.equal(pending.covers('a'), true)
    assert.deepEqual(pending.next(10)?.invalidation, { keys: [], tags: ['group'], all: false })
    tag.done()
    assert.equal(pending.covers('a'), false)
  })

  test('more than the maximum become an invalidation of everything', () => {
    const pending = new PendingInvalidations(3)
    let overflows = 0
    for (const key of ['a', 'b', 'c', 'd', 'e']) pending.add(invalidationOfKey(key), () => overflows++)
    assert.equal(overflows, 1)
    assert.equal(pending.size, 1)
    assert.equal(pending.covers('z'), true)
    const all = pending.next(10)
    assert.deepEqual(all?.invalidation, { keys: [], tags: [], all: true })
    pending.add(invalidationOfKey('f'), nothing)
    all?.done()
    assert.equal(pending.covers('f'), true, 'it was added while everything was being sent')
    pending.next(10)?.done()
    assert.equal(pending.covers('f'), false)
    pending.add(INVALIDATE_ALL, nothing).done()
    assert.equal(pending.size, 0)
  })

  test('are sent in batches, the oldest first', () => {
    const pending = new PendingInvalidations(100)
    for (let index = 0; index < 5; index++) pending.add(invalidationOfKey(String(index)), nothing)
    const sent: (readonly string[])[] = []
    for (let next = pending.next(2); next !== null; next = pending.next(2)) {
      sent.push(next.invalidation.keys)
      next.done()
    }
    assert.deepEqual(sent, [['0', '1'], ['2', '3'], ['4']])
  })
})
