import assert from 'node:assert/strict'
import { test } from 'node:test'
import { monotonicNow } from '../resilience/clock.ts'
import { DropCounter } from './drop-counter.ts'

test('the first drop is told at once, what follows within a second together, with reasons and the last error', () => {
  const told: string[] = []
  const drops = new DropCounter('q', ({ message }) => told.push(message))
  drops.add('full')
  assert.deepEqual(told, ['deferred q: 1 item dropped: the queue is full'])
  for (let count = 0; count < 1_000; count++) drops.add('full')
  drops.add('unserialisable', 1, new TypeError('cycle'))
  assert.equal(told.length, 1)
  drops.tellDue(monotonicNow() + 1_001)
  assert.equal(
    told[1],
    'deferred q: 1000 items dropped: the queue is full; 1 item dropped: no JSON can be made of it (TypeError: cycle)',
  )
  drops.tellDue(monotonicNow() + 5_000)
  assert.equal(told.length, 2)
  assert.deepEqual(drops.total, { full: 1_001, unserialisable: 1 })
})
