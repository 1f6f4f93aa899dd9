import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { jsonCodec } from './codec.ts'

const roundTrip = (value: unknown): unknown => jsonCodec.decode(jsonCodec.encode(value))

describe('the codec', () => {
  test('decodes what it has encoded', () => {
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
    for (const value of values) assert.deepStrictEqual(roundTrip(value), value)
  })

  test('keeps an invalid date', () => {
    assert.ok(Number.isNaN((roundTrip(new Date(Number.NaN)) as Date).getTime()))
  })

  test('keeps data that looks like its own marks', () => {
    const value = { $type: 'date', value: 5, inside: { $type: 'object', value: { $type: 'bigint', value: 'x' } } }
    assert.deepStrictEqual(roundTrip(value), value)
  })

  test('keeps a field named __proto__ as data', () => {
    const value = JSON.parse('{"__proto__":{"admin":true}}')
    const back = roundTrip(value) as Record<string, unknown>
    assert.equal(back.admin, undefined)
    assert.deepEqual(Object.keys(back), ['__proto__'])
  })

  test('rejects unknown types', () => {
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
