import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { ConnectionTable } from './connection-table.ts'
import { Connections } from './connections.ts'
import type { Connection } from './scope.ts'

function fill(count: number): { connections: Connections; table: ConnectionTable; added: readonly Connection[] } {
  const table = new ConnectionTable()
  const connections = new Connections(table)
  const added = Array.from({ length: count }, (_, index) =>
    connections.add(new net.Socket(), 'http', 100 + index, 0, 0),
  )
  return { connections, table, added }
}

test('connections can be removed in any order', () => {
  const { connections, table, added } = fill(5)
  const left = new Set(added)
  for (const index of [1, 4, 0, 3, 2]) {
    const connection = added[index] as Connection
    connections.remove(connection)
    left.delete(connection)
    assert.deepEqual(new Set(connections), left)
    assert.equal(connections.size, left.size)
    assert.equal(table.connections, left.size)
  }
})

test('removing a connection twice removes no other', () => {
  const { connections, added } = fill(2)
  const [first, second] = added as [Connection, Connection]
  connections.remove(first)
  connections.remove(first)
  assert.deepEqual([...connections], [second])
})

test('connections can be removed during iteration', () => {
  const { connections } = fill(4)
  for (const connection of connections) connections.remove(connection)
  assert.equal(connections.size, 0)
})
