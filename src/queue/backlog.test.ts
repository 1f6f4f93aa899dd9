import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Fifo } from './backlog.ts'

test('a Fifo returns values in the order of their pushes, however pushes and shifts are mixed', () => {
  const fifo = new Fifo<number>()
  const model: number[] = []
  let seed = 7
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed % below
  }
  for (let step = 0; step < 20_000; step++) {
    if (random(100) < (step % 2_000 < 1_000 ? 60 : 40)) {
      fifo.push(step)
      model.push(step)
    } else {
      assert.equal(fifo.shift(), model.shift())
    }
    assert.equal(fifo.length, model.length)
    assert.equal(fifo.peek(), model[0])
  }
  const left = Array.from({ length: fifo.length }, () => fifo.shift())
  assert.deepEqual(left, model)
})

test('an empty Fifo returns nothing', () => {
  const fifo = new Fifo<string>()
  assert.equal(fifo.peek(), undefined)
  assert.equal(fifo.shift(), undefined)
  assert.equal(fifo.length, 0)
})
