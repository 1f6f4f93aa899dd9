import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { HandlerSlots, LoopGate } from './handler-capacity.ts'

function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

test('while the loop is busy with other work, a batch passes about once a second', async () => {
  const gate = new LoopGate()
  let busy = true
  const others = (async () => {
    while (busy) {
      spin(5)
      await setImmediate()
    }
  })()
  const passed: number[] = []
  let lastAt = performance.timeOrigin === 0 ? 0 : Number.NEGATIVE_INFINITY
  // The first ones pass before the gate knows that the loop is busy.
  for (let calls = 0; passed.length < 3 && calls < 1_000_000; calls++) {
    const before = performance.now()
    await gate.pass(lastAt)
    lastAt = Number(process.hrtime.bigint()) / 1e6
    const took = performance.now() - before
    if (took > 500) passed.push(took)
    else await setImmediate()
  }
  busy = false
  await others
  assert.equal(passed.length, 3)
  for (let calls = 0; calls < 200; calls++) await gate.pass(Number(process.hrtime.bigint()) / 1e6)
})

test('a queue that keeps the loop busy itself is not held up', async () => {
  const gate = new LoopGate()
  let slow = 0
  for (let batch = 0; batch < 60; batch++) {
    const before = performance.now()
    await gate.pass(Number(process.hrtime.bigint()) / 1e6)
    if (performance.now() - before > 500) slow++
    spin(20)
    await setImmediate()
  }
  assert.ok(slow < 10, `${slow} of 60 batches waited`)
})

test('no more than the maximum have a slot, and the others get theirs in order', async () => {
  const slots = new HandlerSlots(2)
  const order: number[] = []
  const held: (() => void)[] = []
  for (let number = 0; number < 5; number++) {
    void slots.take().then((giveBack) => {
      order.push(number)
      held.push(giveBack)
    })
  }
  await setImmediate()
  assert.deepEqual(order, [0, 1])
  held.shift()?.()
  await setImmediate()
  assert.deepEqual(order, [0, 1, 2])
  slots.max = 4
  await setImmediate()
  assert.deepEqual(order, [0, 1, 2, 3, 4])
  for (const giveBack of held) giveBack()
  assert.equal(slots.taken, 0)
})
