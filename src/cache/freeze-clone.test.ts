import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cloneValue, freezeClone, type UnsharableValue } from './freeze-clone.ts'

describe('freezeClone', () => {
  test('returns a frozen copy of plain data', () => {
    const given = { list: [{ a: 1 }], bare: Object.assign(Object.create(null), { b: 2n }) }
    const { value, isMutable, bytes } = freezeClone('it', given)
    assert.deepStrictEqual(value, given)
    assert.notEqual(value, given)
    assert.equal(isMutable, false)
    assert.ok(Object.isFrozen(value) && Object.isFrozen((value as typeof given).list[0]))
    assert.ok(bytes > 50 && bytes < 500, String(bytes))
    assert.ok(!Object.isFrozen(given))
  })

  test('marks values that cannot be frozen, which cloneValue copies', () => {
    const given = { at: new Date(5), raw: Buffer.from('ab'), set: new Set([[1]]), map: new Map([[{ k: 1 }, 2]]) }
    const { value, isMutable } = freezeClone('it', given)
    assert.equal(isMutable, true)
    given.raw[0] = 0
    const copy = cloneValue(value) as typeof given
    assert.equal(copy.raw.toString(), 'ab')
    copy.at.setTime(0)
    copy.raw[0] = 0
    copy.set.clear()
    copy.map.clear()
    const other = cloneValue(value) as typeof given
    assert.deepStrictEqual([other.at, other.raw.toString(), other.set.size, other.map.size], [new Date(5), 'ab', 1, 1])
    assert.deepStrictEqual(cloneValue(freezeClone('it', new Float32Array([1])).value), new Float32Array([1]))
    assert.deepStrictEqual(
      cloneValue(freezeClone('it', new DataView(new ArrayBuffer(2))).value),
      new DataView(new ArrayBuffer(2)),
    )
  })

  test('estimates the memory that the value takes', () => {
    const { bytes } = freezeClone('it', 'x'.repeat(1_000))
    assert.ok(bytes >= 1_000 && bytes < 3_000)
    assert.ok(freezeClone('it', Buffer.alloc(5_000)).bytes >= 5_000)
  })

  test('rejects anything but data, with its path', () => {
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
      assert.throws(() => freezeClone('it', value), { code: 'PUNCTUAL_CACHE_VALUE', details })
    }
  })

  test('does not let data change the prototype of the copy', () => {
    const { value } = freezeClone('it', JSON.parse('{"__proto__":{"admin":true}}'))
    assert.equal((value as { admin?: boolean }).admin, undefined)
    assert.equal((cloneValue(value) as { admin?: boolean }).admin, undefined)
  })
})
