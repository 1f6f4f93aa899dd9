import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueueItem } from './batch.ts'
import { PendingItems } from './persistence.ts'
import type { Place, PlaceSlot } from './spool/segment.ts'
import { splitId } from './spool/segment-format.ts'
import type { Spool, SpoolState } from './spool/spool.ts'

/** A spool that takes items until its state is set to degraded. */
class Notes {
  readonly written: string[] = []
  readonly settled: Place[] = []
  state: SpoolState = { state: 'degraded', reason: 'ENOSPC', why: 'it is full' }

  append(_: unknown, json: string, __: number, into: PlaceSlot): Place | null {
    if (this.state.state === 'degraded' || json === 'too large') return null
    return Object.assign(into, { segment: 1, index: this.written.push(json) - 1, size: 1 })
  }

  settle(places: readonly Place[]): void {
    this.settled.push(...places)
  }
}

function unwritten(count: number): {
  readonly notes: Notes
  readonly pending: PendingItems
  readonly items: QueueItem[]
} {
  const notes = new Notes()
  const pending = new PendingItems(notes as unknown as Spool, null)
  const items = Array.from({ length: count }, (_, number) => new QueueItem(splitId(''), String(number), 1, 0))
  for (const item of items) pending.add(item)
  return { notes, pending, items }
}

test('items in memory are written in portions, in order, once each, without those settled meanwhile', () => {
  const { notes, pending, items } = unwritten(10)
  assert.equal(pending.inMemory, 10)
  assert.equal(pending.writeNext(4), false)
  notes.state = { state: 'ok' }
  assert.equal(pending.writeNext(4), true)
  assert.equal(pending.inMemory, 6)
  pending.settle(items.slice(2, 6))
  assert.equal(notes.settled.length, 2)
  const late = new QueueItem(splitId(''), 'late', 1, 0)
  pending.add(late)
  assert.equal(pending.writeNext(4), true)
  assert.equal(pending.writeNext(4), false)
  assert.deepEqual(notes.written, ['0', '1', '2', '3', '6', '7', '8', '9', 'late'])
  assert.equal(pending.inMemory, 0)
})

test('when the disk fails midway, the rest is written the next time', () => {
  const { notes, pending } = unwritten(5)
  notes.state = { state: 'ok' }
  assert.equal(pending.writeNext(2), true)
  notes.state = { state: 'degraded', reason: 'ENOSPC', why: 'again' }
  assert.equal(pending.writeNext(2), false)
  assert.equal(pending.inMemory, 3)
  notes.state = { state: 'ok' }
  assert.equal(pending.writeNext(10), false)
  assert.deepEqual(notes.written, ['0', '1', '2', '3', '4'])
})

test('an item that the disk does not take does not hold up those behind it', () => {
  const { notes, pending } = unwritten(1)
  pending.add(new QueueItem(splitId(''), 'too large', 1, 0))
  pending.add(new QueueItem(splitId(''), 'behind', 1, 0))
  notes.state = { state: 'ok' }
  assert.equal(pending.writeNext(10), false)
  assert.deepEqual(notes.written, ['0', 'behind'])
  assert.equal(pending.inMemory, 1)
})

test('all items of a queue without a spool count as in memory', () => {
  const pending = new PendingItems(null, null)
  const item = new QueueItem(splitId(''), '1', 1, 0)
  pending.add(item)
  assert.equal(pending.inMemory, 1)
  pending.settle([item])
  assert.equal(pending.inMemory, 0)
})
