import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ring } from './ring.ts'

test('it gives back what was pushed in the same order, however pushes and shifts are mixed', () => {
  const ring = new Ring<number>()
  const model: number[] = []
  let seed = 7
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed % below
  }
  for (let step = 0; step < 20_000; step++) {
    if (random(100) < (step % 2_000 < 1_000 ? 60 : 40)) {
      ring.push(step)
      model.push(step)
    } else {
      assert.equal(ring.shift(), model.shift())
    }
    assert.equal(ring.length, model.length)
    assert.equal(ring.peek(), model[0])
  }
  assert.deepEqual([...ring], model)
})

test('an empty one gives nothing', () => {
  const ring = new Ring<string>()
  assert.equal(ring.peek(), undefined)
  assert.equal(ring.shift(), undefined)
  assert.equal(ring.length, 0)
})
