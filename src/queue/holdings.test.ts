import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeferredItem } from './deferred-item.ts'
import { Holdings } from './holdings.ts'
import { splitId } from './spool/segment-format.ts'
import type { OwnPlace, Place, Spool, SpoolState } from './spool/spool.ts'

/** Takes items for as long as it is told to. */
class Notes {
  readonly written: string[] = []
  readonly settled: Place[] = []
  state: SpoolState = { state: 'degraded', reason: 'ENOSPC', why: 'it is full' }

  append(_: unknown, json: string, __: number, into: OwnPlace): Place | null {
    if (this.state.state === 'degraded' || json === 'too large') return null
    return Object.assign(into, { segment: 1, index: this.written.push(json) - 1, size: 1 })
  }

  settle(places: readonly Place[]): void {
    this.settled.push(...places)
  }
}

function unwritten(count: number): {
  readonly notes: Notes
  readonly holdings: Holdings
  readonly items: DeferredItem[]
} {
  const notes = new Notes()
  const holdings = new Holdings(notes as unknown as Spool, null)
  const items = Array.from({ length: count }, (_, number) => new DeferredItem(splitId(''), String(number), 1, 0))
  for (const item of items) holdings.add(item)
  return { notes, holdings, items }
}

test('what is in memory alone is written down a part at a time, in order, each item once, without what was settled meanwhile', () => {
  const { notes, holdings, items } = unwritten(10)
  assert.equal(holdings.inMemory, 10)
  assert.equal(holdings.writeDown(4), false)
  notes.state = { state: 'ok' }
  assert.equal(holdings.writeDown(4), true)
  assert.equal(holdings.inMemory, 6)
  holdings.settle(items.slice(2, 6))
  assert.equal(notes.settled.length, 2)
  const late = new DeferredItem(splitId(''), 'late', 1, 0)
  holdings.add(late)
  assert.equal(holdings.writeDown(4), true)
  assert.equal(holdings.writeDown(4), false)
  assert.deepEqual(notes.written, ['0', '1', '2', '3', '6', '7', '8', '9', 'late'])
  assert.equal(holdings.inMemory, 0)
})

test('when the disk fails midway the rest is written down the next time', () => {
  const { notes, holdings } = unwritten(5)
  notes.state = { state: 'ok' }
  assert.equal(holdings.writeDown(2), true)
  notes.state = { state: 'degraded', reason: 'ENOSPC', why: 'again' }
  assert.equal(holdings.writeDown(2), false)
  assert.equal(holdings.inMemory, 3)
  notes.state = { state: 'ok' }
  assert.equal(holdings.writeDown(10), false)
  assert.deepEqual(notes.written, ['0', '1', '2', '3', '4'])
})

test('one that no disk takes holds up nothing behind it', () => {
  const { notes, holdings } = unwritten(1)
  holdings.add(new DeferredItem(splitId(''), 'too large', 1, 0))
  holdings.add(new DeferredItem(splitId(''), 'behind', 1, 0))
  notes.state = { state: 'ok' }
  assert.equal(holdings.writeDown(10), false)
  assert.deepEqual(notes.written, ['0', 'behind'])
  assert.equal(holdings.inMemory, 1)
})

test('of a queue that is kept in memory everything is in memory alone', () => {
  const holdings = new Holdings(null, null)
  const item = new DeferredItem(splitId(''), '1', 1, 0)
  holdings.add(item)
  assert.equal(holdings.inMemory, 1)
  holdings.settle([item])
  assert.equal(holdings.inMemory, 0)
})
