import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../../errors/punctual-error.ts'
import { sendable } from './sqlite-values.ts'

const check = (parameters: unknown): unknown => sendable(parameters, 'main', "select 'secret', ?, ?")

test('what SQLite has a type for passes, by position and by name', () => {
  const values = [null, 1, 1.5, Number.POSITIVE_INFINITY, 2n ** 60n, 'text', new Uint8Array([1, 2])]
  assert.deepEqual(check(values), values)
  assert.deepEqual(check({ ':id': 1, name: 'x' }), { ':id': 1, name: 'x' })
})

test('only the bytes of a small buffer cross, not the memory it shares with others', () => {
  const buffer = Buffer.from('abc')
  const [sent] = check([buffer]) as [Uint8Array]
  assert.equal(sent.buffer.byteLength, 3)
  assert.deepEqual([...sent], [...buffer])
})

test('other values are refused: which, what it is, what to pass instead; never the value', () => {
  const cases: [unknown, RegExp][] = [
    [[1, true], /^parameter 2 of "select \?, \?, \?" \(database main\) is a boolean, .*; pass 1 or 0$/],
    [{ at: new Date() }, /^parameter "at" .* is an object \(Date\), .*toISOString\(\) or value\.getTime\(\)$/],
    [[undefined], /is undefined, .*; pass null$/],
    [[Number.NaN], /is NaN, .*pass null if that is meant$/],
    [[{ secret: 'hidden' }], /is an object \(Object\), .*JSON\.stringify\(value\)$/],
    [[Symbol('x')], /is a symbol/],
    ['text', /are a string; pass an array, or an object by name$/],
    [Buffer.from('x'), /are an object \(Buffer\)/],
    [null, /are null/],
  ]
  for (const [parameters, message] of cases) {
    assert.throws(
      () => check(parameters),
      (error) => {
        assert.ok(error instanceof UsageError)
        assert.match(error.message, message)
        assert.doesNotMatch(error.message, /secret|hidden/)
        return true
      },
    )
  }
})
