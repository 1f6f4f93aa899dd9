import assert from 'node:assert/strict'
import { test } from 'node:test'
import { monotonicNow } from '../resilience/clock.ts'
import { QueueEvents } from './queue-events.ts'
import { DropCounter } from './queue-warnings.ts'

test('the first drop is reported at once, those within a second together, with reasons and the last error', () => {
  const reported: string[] = []
  const drops = new DropCounter(new QueueEvents('q', ({ message }) => void reported.push(message)))
  drops.add('full')
  assert.deepEqual(reported, ['queue q: 1 item dropped: the queue is full'])
  for (let count = 0; count < 1_000; count++) drops.add('full')
  drops.add('not-serializable', 1, new TypeError('cycle'))
  assert.equal(reported.length, 1)
  drops.reportDue(monotonicNow() + 1_001)
  assert.equal(
    reported[1],
    'queue q: 1000 items dropped: the queue is full; 1 item dropped: not JSON-serializable (TypeError: cycle)',
  )
  drops.reportDue(monotonicNow() + 5_000)
  assert.equal(reported.length, 2)
  assert.deepEqual(drops.total, { full: 1_001, 'not-serializable': 1 })
})
