import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventQueue } from './event-queue.ts'

test('an event posted while another is handled waits', () => {
  const handled: string[] = []
  const queue = new EventQueue<number>({
    handle: (event) => {
      handled.push(`begin ${event}`)
      if (event < 3) queue.post(event + 1)
      handled.push(`end ${event}`)
    },
    onFailed: assert.fail,
  })
  queue.post(1)
  queue.post(7)
  assert.deepEqual(
    handled,
    [1, 2, 3, 7].flatMap((event) => [`begin ${event}`, `end ${event}`]),
  )
})

test('after a throw the failed event is reported once, and no more events are handled', () => {
  const handled: number[] = []
  const failures: unknown[] = []
  const error = new Error('odd')
  const queue = new EventQueue<number>({
    handle: (event) => {
      handled.push(event)
      if (event !== 2) return
      queue.post(3)
      throw error
    },
    onFailed: (...failure) => {
      failures.push(failure)
      queue.post(4)
    },
  })
  queue.post(1)
  assert.equal(queue.hasFailed, false)
  queue.post(2)
  queue.post(5)
  assert.equal(queue.hasFailed, true)
  assert.deepEqual(handled, [1, 2])
  assert.deepEqual(failures, [[error, 2]])
})
