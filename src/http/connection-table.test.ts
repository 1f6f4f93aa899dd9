import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BEGUN, type ConnectionRow, ConnectionTable, OPAQUE, WAITING } from './connection-table.ts'

/** The table as the watchdog thread sees it. */
function view(table: ConnectionTable): ConnectionTable {
  return new ConnectionTable(table.memory)
}

/** The flags of a row, without the one for open. */
function says({ flags }: ConnectionRow): number {
  return flags & (WAITING | BEGUN | OPAQUE)
}

test('another thread sees the descriptor and the state of a connection', () => {
  const table = new ConnectionTable()
  const slot = table.open(17, 0, 100)
  const seen = (): number[] => [...view(table).rows()].map(says)
  assert.deepEqual(
    [...view(table).rows()].map((row) => [row.slot, row.fd, says(row)]),
    [[slot, 17, 0]],
  )
  table.begin(slot, 'GET', '/one', 120)
  assert.deepEqual(seen(), [WAITING])
  table.answering(slot)
  assert.deepEqual(seen(), [BEGUN])
  table.end(slot, true)
  assert.deepEqual(seen(), [0])
  table.close(slot)
  assert.deepEqual(seen(), [])
})

test('a pipelined request waits as soon as the one before it has ended', () => {
  const table = new ConnectionTable()
  const slot = table.open(5, 0, 0)
  table.begin(slot, 'GET', '/first', 0)
  table.begin(-1, 'GET', '/second', 0)
  table.answering(slot)
  table.end(slot, false)
  assert.deepEqual([...table.rows()].map(says), [WAITING])
  assert.equal(table.inFlight, 1)
})

test('an upgraded connection is opaque', () => {
  const table = new ConnectionTable()
  const slot = table.open(5, 0, 0)
  table.begin(slot, 'GET', '/socket', 0)
  table.makeOpaque(slot)
  assert.deepEqual([...table.rows()].map(says), [OPAQUE])
})

test('requests are listed oldest first, with method, target and age, up to a count', () => {
  const table = new ConnectionTable()
  for (const [index, target] of ['/a', '/b', '/c'].entries()) {
    table.begin(table.open(index, 0, 0), 'POST', target, 300 - index * 100)
  }
  table.open(9, 0, 0)
  assert.deepEqual(view(table).lines(1_000, 2), [
    { method: 'POST', target: '/c', ageMs: 900 },
    { method: 'POST', target: '/b', ageMs: 800 },
  ])
})

test('a long target is truncated to its row', () => {
  const table = new ConnectionTable()
  const [first, second] = [table.open(1, 0, 0), table.open(2, 0, 0)]
  table.begin(second, 'GET', '/next', 0)
  table.begin(first, 'GET', `/${'x'.repeat(10_000)}`, 0)
  assert.match(table.textOf(first), /^GET \/x{100,}$/)
  assert.equal(table.textOf(second), 'GET /next')
})

test('rows are reused', () => {
  const table = new ConnectionTable()
  const first = table.open(1, 0, 0)
  table.close(first)
  assert.equal(table.open(2, 0, 0), first)
})

test('a full table keeps counting, and does not list connections without a row', () => {
  const small = new ConnectionTable()
  const capacity = (small.memory.byteLength - 192) / 192
  for (let fd = 0; fd < capacity; fd++) assert.notEqual(small.open(fd, 0, 0), -1)
  const slot = small.open(capacity, 0, 0)
  assert.equal(slot, -1)
  small.begin(slot, 'GET', '/', 0)
  small.answering(slot)
  assert.equal(small.inFlight, 1)
  small.end(slot, true)
  small.makeOpaque(slot)
  small.close(slot)
  assert.deepEqual([small.inFlight, small.requests, small.connections], [0, 1, capacity])
})

test('a sequence number identifies one request, also in another thread', () => {
  const table = new ConnectionTable()
  const slot = table.open(1, 0, 0)
  const first = table.begin(slot, 'GET', '/', 0)
  const second = table.begin(slot, 'GET', '/', 0)
  assert.notEqual(first, second)
  assert.ok(first > 0)
  assert.equal(view(table).sequenceOf(slot), second)
  table.running = second
  assert.equal(view(table).running, second)
})
