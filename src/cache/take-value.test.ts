import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { copyValue, takeValue } from './take-value.ts'
import type { UnsharableValue } from './value-error.ts'

describe('a value that is taken into a cache', () => {
  test('is a frozen copy where it is plain data', () => {
    const given = { list: [{ a: 1 }], bare: Object.assign(Object.create(null), { b: 2n }) }
    const { value, isMutable, bytes } = takeValue('it', given)
    assert.deepStrictEqual(value, given)
    assert.notEqual(value, given)
    assert.equal(isMutable, false)
    assert.ok(Object.isFrozen(value) && Object.isFrozen((value as typeof given).list[0]))
    assert.ok(bytes > 50 && bytes < 500, String(bytes))
    assert.ok(!Object.isFrozen(given))
  })

  test('is copied for each where something cannot be frozen', () => {
    const given = { at: new Date(5), raw: Buffer.from('ab'), set: new Set([[1]]), map: new Map([[{ k: 1 }, 2]]) }
    const { value, isMutable } = takeValue('it', given)
    assert.equal(isMutable, true)
    given.raw[0] = 0
    const copy = copyValue(value) as typeof given
    assert.equal(copy.raw.toString(), 'ab')
    copy.at.setTime(0)
    copy.raw[0] = 0
    copy.set.clear()
    copy.map.clear()
    const other = copyValue(value) as typeof given
    assert.deepStrictEqual([other.at, other.raw.toString(), other.set.size, other.map.size], [new Date(5), 'ab', 1, 1])
    assert.deepStrictEqual(copyValue(takeValue('it', new Float32Array([1])).value), new Float32Array([1]))
    assert.deepStrictEqual(
      copyValue(takeValue('it', new DataView(new ArrayBuffer(2))).value),
      new DataView(new ArrayBuffer(2)),
    )
  })

  test('its bytes are counted about as large as they are', () => {
    const { bytes } = takeValue('it', 'x'.repeat(1_000))
    assert.ok(bytes >= 1_000 && bytes < 3_000)
    assert.ok(takeValue('it', Buffer.alloc(5_000)).bytes >= 5_000)
  })

  test('is refused with its place where it is no data', () => {
    class Money {}
    const circle: { self?: unknown } = {}
    circle.self = circle
    const cases: readonly [unknown, UnsharableValue][] = [
      [{ a: [() => 1] }, { path: '.a[0]', kind: 'function' }],
      [{ a: Symbol('x') }, { path: '.a', kind: 'symbol' }],
      [{ price: new Money() }, { path: '.price', kind: 'instance', className: 'Money' }],
      [new Map([[1, new Money()]]), { path: '.<map>', kind: 'instance', className: 'Money' }],
      [circle, { path: '', kind: 'too-deep' }],
    ]
    for (const [value, details] of cases) {
      assert.throws(() => takeValue('it', value), { code: 'PUNCTUAL_CACHE_VALUE', details })
    }
  })

  test('cannot change the prototype of its copy', () => {
    const { value } = takeValue('it', JSON.parse('{"__proto__":{"admin":true}}'))
    assert.equal((value as { admin?: boolean }).admin, undefined)
    assert.equal((copyValue(value) as { admin?: boolean }).admin, undefined)
  })
})
