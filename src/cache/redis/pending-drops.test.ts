import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DROP_ALL, dropOfKey, dropOfTag } from '../drop.ts'
import { PendingDrops } from './pending-drops.ts'

const nothing = (): void => {}

describe('invalidations that Redis has not been told', () => {
  test('cover their keys until it has been', () => {
    const pending = new PendingDrops(10)
    const first = pending.add(dropOfKey('a'), nothing)
    assert.equal(pending.covers('a'), true)
    assert.equal(pending.covers('b'), false)
    first.done()
    assert.equal(pending.covers('a'), false)
    assert.equal(pending.next(10), null)
  })

  test('a later one of the same key is not taken away by the answer to an earlier', () => {
    const pending = new PendingDrops(10)
    const first = pending.add(dropOfKey('a'), nothing)
    const sent = pending.next(10)
    pending.add(dropOfKey('a'), nothing)
    first.done()
    sent?.done()
    assert.equal(pending.covers('a'), true)
    pending.next(10)?.done()
    assert.equal(pending.size, 0)
  })

  test('a tag covers every key: nobody knows which have it', () => {
    const pending = new PendingDrops(10)
    const tag = pending.add(dropOfTag('group'), nothing)
    assert.equal(pending.covers('a'), true)
    assert.deepEqual(pending.next(10)?.drop, { keys: [], tags: ['group'], all: false })
    tag.done()
    assert.equal(pending.covers('a'), false)
  })

  test('more than are kept become one: everything', () => {
    const pending = new PendingDrops(3)
    let overflows = 0
    for (const key of ['a', 'b', 'c', 'd', 'e']) pending.add(dropOfKey(key), () => overflows++)
    assert.equal(overflows, 1)
    assert.equal(pending.size, 1)
    assert.equal(pending.covers('z'), true)
    const all = pending.next(10)
    assert.deepEqual(all?.drop, { keys: [], tags: [], all: true })
    pending.add(dropOfKey('f'), nothing)
    all?.done()
    assert.equal(pending.covers('f'), true, 'it came while everything was being told')
    pending.next(10)?.done()
    assert.equal(pending.covers('f'), false)
    pending.add(DROP_ALL, nothing).done()
    assert.equal(pending.size, 0)
  })

  test('are told some at a time, the oldest first', () => {
    const pending = new PendingDrops(100)
    for (let index = 0; index < 5; index++) pending.add(dropOfKey(String(index)), nothing)
    const told: (readonly string[])[] = []
    for (let next = pending.next(2); next !== null; next = pending.next(2)) {
      told.push(next.drop.keys)
      next.done()
    }
    assert.deepEqual(told, [['0', '1'], ['2', '3'], ['4']])
  })
})
