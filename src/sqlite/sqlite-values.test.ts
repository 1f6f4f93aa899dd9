import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageError } from '../errors/punctual-error.ts'
import { sendable } from './sqlite-values.ts'

const check = (parameters: unknown): unknown => sendable(parameters, 'main', "select 'secret', ?, ?")

test('accepts values that SQLite has a type for, by position and by name', () => {
  const values = [null, 1, 1.5, Number.POSITIVE_INFINITY, 2n ** 60n, 'text', new Uint8Array([1, 2])]
  assert.deepEqual(check(values), values)
  assert.deepEqual(check({ ':id': 1, name: 'x' }), { ':id': 1, name: 'x' })
})

test('copies the bytes of a small buffer without the memory it shares', () => {
  const buffer = Buffer.from('abc')
  const [sent] = check([buffer]) as [Uint8Array]
  assert.equal(sent.buffer.byteLength, 3)
  assert.deepEqual([...sent], [...buffer])
})

test('rejects other values: the error names the parameter and its type, never the value', () => {
  const cases: [unknown, object][] = [
    [[1, true], { rule: 'parameter-type', parameter: 2, given: 'boolean' }],
    [{ at: new Date() }, { rule: 'parameter-type', parameter: 'at', given: 'Date' }],
    [[undefined], { rule: 'parameter-type', parameter: 1, given: 'undefined' }],
    [[Number.NaN], { rule: 'parameter-type', parameter: 1, given: 'NaN' }],
    [[{ secret: 'hidden' }], { rule: 'parameter-type', parameter: 1, given: 'Object' }],
    [[Symbol('x')], { rule: 'parameter-type', parameter: 1, given: 'symbol' }],
    ['text', { rule: 'parameters-type', given: 'string' }],
    [Buffer.from('x'), { rule: 'parameters-type', given: 'Buffer' }],
    [null, { rule: 'parameters-type', given: 'null' }],
  ]
  for (const [parameters, details] of cases) {
    assert.throws(
      () => check(parameters),
      (error) => {
        assert.ok(error instanceof UsageError)
        assert.deepEqual(error.details, { database: 'main', sql: 'select ?, ?, ?', ...details })
        assert.doesNotMatch(error.message, /secret|hidden/)
        return true
      },
    )
  }
})

test('the message names the parameter and what to pass instead', () => {
  const message = (parameters: unknown): string => {
    try {
      check(parameters)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  const parameter = (name: string): string => `parameter ${name} of "select ?, ?, ?" (database main)`
  assert.equal(message([1, true]), `${parameter('2')} is a boolean, which SQLite has no type for; pass 1 or 0`)
  assert.match(
    message({ at: new Date() }),
    /is an object \(Date\), .*; pass value\.toISOString\(\) or value\.getTime\(\)$/,
  )
  assert.match(message([undefined]), /; pass null$/)
  assert.match(message([{}]), /JSON\.stringify\(value\)$/)
})
