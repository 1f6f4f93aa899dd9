import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SerialQueue } from './serial-queue.ts'

test('work runs one piece after the other, and a failure does not stop the queue', async () => {
  const queue = new SerialQueue()
  const seen: string[] = []
  const first = Promise.withResolvers<void>()
  const one = queue.run(async () => {
    seen.push('one')
    await first.promise
    seen.push('one ended')
    throw new Error('ill')
  })
  const two = queue.run(() => {
    seen.push('two')
    return 2
  })
  let idle = false
  const whenIdle = queue.idle().then(() => {
    idle = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(seen, ['one'])
  assert.equal(idle, false)
  first.resolve()
  await assert.rejects(one, /ill/)
  assert.equal(await two, 2)
  await whenIdle
  assert.deepEqual(seen, ['one', 'one ended', 'two'])
})
