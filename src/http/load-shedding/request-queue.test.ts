import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Queued, RequestQueue } from './request-queue.ts'

class Entry implements Queued {
  readonly name: string
  older: this | null = null
  newer: this | null = null
  isQueued = false

  constructor(name: string) {
    this.name = name
  }
}

function entries(queue: RequestQueue<Entry>, count: number): Entry[] {
  return Array.from({ length: count }, (_, index) => {
    const entry = new Entry(String(index))
    queue.join(entry)
    return entry
  })
}

test('the oldest and the newest can be taken in any order', () => {
  const queue = new RequestQueue<Entry>()
  entries(queue, 4)
  const taken: string[] = []
  for (const end of ['oldest', 'newest', 'newest', 'oldest'] as const) {
    const entry = queue[end]
    assert.ok(entry !== null)
    queue.leave(entry)
    taken.push(entry.name)
  }
  assert.deepEqual(taken, ['0', '3', '2', '1'])
  assert.equal(queue.size, 0)
  assert.equal(queue.oldest, null)
  assert.equal(queue.newest, null)
})

test('an entry that leaves from the middle keeps the others in order', () => {
  const queue = new RequestQueue<Entry>()
  const [, second, , fourth] = entries(queue, 5)
  for (const entry of [second, fourth]) if (entry !== undefined) queue.leave(entry)
  const order: string[] = []
  for (let entry = queue.oldest; entry !== null; entry = entry.newer) order.push(entry.name)
  assert.deepEqual(order, ['0', '2', '4'])
  assert.equal(queue.size, 3)
})

test('leaving twice, or without having joined, changes nothing', () => {
  const queue = new RequestQueue<Entry>()
  const [first] = entries(queue, 2)
  assert.ok(first !== undefined)
  queue.leave(first)
  queue.leave(first)
  queue.leave(new Entry('stranger'))
  assert.equal(queue.size, 1)
  assert.equal(queue.oldest?.name, '1')
})
