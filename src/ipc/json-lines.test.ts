import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jsonLine, readJsonLines } from './json-lines.ts'

function reader(maxLength?: number): { feed: (chunk: string) => void; values: unknown[]; faults: string[] } {
  const values: unknown[] = []
  const faults: string[] = []
  const feed = readJsonLines(
    (value) => values.push(value),
    (reason) => faults.push(reason),
    maxLength,
  )
  return { feed, values, faults }
}

test('values are complete for chunks of any size', () => {
  const text = [{ a: 1 }, 'two\nlines', [3]].map(jsonLine).join('')
  for (const size of [1, 2, 5, text.length]) {
    const { feed, values, faults } = reader()
    for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size))
    assert.deepEqual(values, [{ a: 1 }, 'two\nlines', [3]])
    assert.deepEqual(faults, [])
  }
})

test('a line that is not JSON is reported, and the next line is read', () => {
  const { feed, values, faults } = reader()
  feed('{oops\n\n{"ok":true}\n')
  assert.deepEqual(values, [{ ok: true }])
  assert.equal(faults.length, 1)
})

test('a line that grows beyond the maximum is reported and dropped', () => {
  const { feed, values, faults } = reader(100)
  feed('x'.repeat(101))
  assert.equal(faults.length, 1)
  feed('\n1\n')
  assert.equal(faults.length, 1)
  assert.deepEqual(values, [1])
})
