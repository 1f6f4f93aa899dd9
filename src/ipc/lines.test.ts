import assert from 'node:assert/strict'
import { test } from 'node:test'
import { line, readLines } from './lines.ts'

function reader(longest?: number): { feed: (chunk: string) => void; values: unknown[]; faults: string[] } {
  const values: unknown[] = []
  const faults: string[] = []
  const feed = readLines(
    (value) => values.push(value),
    (why) => faults.push(why),
    longest,
  )
  return { feed, values, faults }
}

test('messages are whole however they were cut up on the way', () => {
  const text = [{ a: 1 }, 'zwei\nlines', [3]].map(line).join('')
  for (const size of [1, 2, 5, text.length]) {
    const { feed, values, faults } = reader()
    for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size))
    assert.deepEqual(values, [{ a: 1 }, 'zwei\nlines', [3]])
    assert.deepEqual(faults, [])
  }
})

test('a line that is no JSON is a fault, and the next is read', () => {
  const { feed, values, faults } = reader()
  feed('{oops\n\n{"ok":true}\n')
  assert.deepEqual(values, [{ ok: true }])
  assert.equal(faults.length, 1)
})

test('a line without end is given up, not kept', () => {
  const { feed, values, faults } = reader(100)
  feed('x'.repeat(101))
  feed('\n1\n')
  assert.deepEqual(faults, ['a line is longer than 100 bytes'])
  assert.deepEqual(values, [1])
})
