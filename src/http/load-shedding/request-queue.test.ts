import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Queued, RequestQueue } from './request-queue.ts'

class Guest implements Queued {
  readonly name: string
  older: this | null = null
  newer: this | null = null
  isQueued = false

  constructor(name: string) {
    this.name = name
  }
}

function guests(door: RequestQueue<Guest>, count: number): Guest[] {
  return Array.from({ length: count }, (_, index) => {
    const guest = new Guest(String(index))
    door.join(guest)
    return guest
  })
}

test('the oldest and the newest can be taken in any order', () => {
  const door = new RequestQueue<Guest>()
  guests(door, 4)
  const taken: string[] = []
  for (const end of ['oldest', 'newest', 'newest', 'oldest'] as const) {
    const guest = door[end]
    assert.ok(guest !== null)
    door.leave(guest)
    taken.push(guest.name)
  }
  assert.deepEqual(taken, ['0', '3', '2', '1'])
  assert.equal(door.size, 0)
  assert.equal(door.oldest, null)
  assert.equal(door.newest, null)
})

test('whoever leaves from the middle leaves the others in their order', () => {
  const door = new RequestQueue<Guest>()
  const [, second, , fourth] = guests(door, 5)
  for (const guest of [second, fourth]) if (guest !== undefined) door.leave(guest)
  const order: string[] = []
  for (let guest = door.oldest; guest !== null; guest = guest.newer) order.push(guest.name)
  assert.deepEqual(order, ['0', '2', '4'])
  assert.equal(door.size, 3)
})

test('to leave twice, or without having come, changes nothing', () => {
  const door = new RequestQueue<Guest>()
  const [first] = guests(door, 2)
  assert.ok(first !== undefined)
  door.leave(first)
  door.leave(first)
  door.leave(new Guest('stranger'))
  assert.equal(door.size, 1)
  assert.equal(door.oldest?.name, '1')
})
