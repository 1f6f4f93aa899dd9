import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Batch, failureAction, newBatch, QueueItem } from './batch.ts'
import { splitId } from './spool/segment-format.ts'

function failed(times: number, size: number): Batch {
  const items = Array.from({ length: size }, (_, index) => new QueueItem(splitId(String(index)), '1', 1, 0))
  return { ...newBatch(items), failed: times }
}

test('a batch that has failed once is retried unchanged', () => {
  assert.equal(failureAction(failed(1, 500), 10, false), 'retry')
  assert.equal(failureAction(failed(1, 1), 10, false), 'retry')
})

test('from the second failure on, a batch is halved', () => {
  for (const times of [2, 9, 10, 50]) assert.equal(failureAction(failed(times, 2), 10, false), 'halve')
})

test('a single item is isolated after its second failure, and dead-lettered after its last attempt', () => {
  assert.equal(failureAction(failed(2, 1), 10, false), 'isolate')
  assert.equal(failureAction(failed(9, 1), 10, false), 'isolate')
  assert.equal(failureAction(failed(10, 1), 10, false), 'dead-letter')
  assert.equal(failureAction(failed(11, 1), 10, false), 'dead-letter')
})

test('with one attempt, a single item is dead-lettered at once and a batch is halved', () => {
  assert.equal(failureAction(failed(1, 1), 1, false), 'dead-letter')
  assert.equal(failureAction(failed(1, 8), 1, false), 'halve')
})

test('a permanent failure dead-letters a single item and halves a batch', () => {
  assert.equal(failureAction(failed(1, 1), 10, true), 'dead-letter')
  assert.equal(failureAction(failed(1, 500), 10, true), 'halve')
})
