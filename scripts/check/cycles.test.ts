import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { findCycles } from './cycles.ts'

const graphOf = (edges: Record<string, string[]>): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map(Object.entries(edges).map(([node, next]) => [node, new Set(next)]))

describe('findCycles', () => {
  it('a graph without cycles has none', () => {
    assert.deepEqual(findCycles(graphOf({ a: ['b', 'c'], b: ['d'], c: ['d'], d: [] })), [])
  })

  it('a cycle is reported as its shortest path', () => {
    const cycles = findCycles(graphOf({ x: ['a'], a: ['b', 'c'], b: ['c'], c: ['a'], d: [] }))
    assert.deepEqual(cycles, [['a', 'c', 'a']])
  })

  it('each separate cycle is reported, a node that refers to itself included', () => {
    const cycles = findCycles(graphOf({ a: ['b'], b: ['a'], c: ['c'], d: ['a', 'c'] }))
    assert.deepEqual(cycles.toSorted(), [
      ['a', 'b', 'a'],
      ['c', 'c'],
    ])
  })
})
