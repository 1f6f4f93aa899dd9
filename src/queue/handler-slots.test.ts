import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { HandlerSlots } from './handler-slots.ts'

test('no more than so many have a slot, and the others get theirs in order', async () => {
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
  slots.most = 4
  await setImmediate()
  assert.deepEqual(order, [0, 1, 2, 3, 4])
  for (const giveBack of held) giveBack()
  assert.equal(slots.taken, 0)
})
