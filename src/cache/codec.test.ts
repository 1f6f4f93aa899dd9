import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { jsonCodec } from './codec.ts'

const again = (value: unknown): unknown => jsonCodec.decode(jsonCodec.encode(value))

describe('the codec', () => {
  test('gives back what it was given', () => {
    const values: readonly unknown[] = [
      null,
      undefined,
      true,
      'text',
      0,
      -0,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      10n ** 30n,
      new Date(1_234),
      [1, [undefined, null]],
      { a: { b: [new Date(0), { c: 1n }] }, d: undefined },
      new Map<unknown, unknown>([
        ['a', 1n],
        [{ key: 1 }, new Set([1, new Date(5)])],
      ]),
      Buffer.from('bytes'),
      new Uint8Array([1, 2, 3]),
      new Float64Array([1.5, -0]),
      new Uint8Array([7, 8]).buffer,
    ]
    for (const value of values) assert.deepStrictEqual(again(value), value)
  })

  test('an invalid date stays one', () => {
    assert.ok(Number.isNaN((again(new Date(Number.NaN)) as Date).getTime()))
  })

  test('data that looks like its own marks stays data', () => {
    const value = { $type: 'date', value: 5, inside: { $type: 'object', value: { $type: 'bigint', value: 'x' } } }
    assert.deepStrictEqual(again(value), value)
  })

  test('a field called __proto__ is data', () => {
    const value = JSON.parse('{"__proto__":{"admin":true}}')
    const back = again(value) as Record<string, unknown>
    assert.equal(back.admin, undefined)
    assert.deepEqual(Object.keys(back), ['__proto__'])
  })

  test('what it does not know is refused', () => {
    for (const text of [
      '{"$type":"later"}',
      '{"$type":"bytes","kind":"Function","value":""}',
      '{',
      '{"$type":"map","value":1}',
    ]) {
      assert.throws(() => jsonCodec.decode(text), text)
    }
  })
})
