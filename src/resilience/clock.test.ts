import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { after, every, monotonicNow, pause } from './clock.ts'
import { ms, UNBOUNDED } from './duration.ts'

test('the monotonic clock is the same in every thread', async () => {
  const before = monotonicNow()
  const code = `import(${JSON.stringify(new URL('./clock.ts', import.meta.url).href)})
    .then(({ monotonicNow }) => require('node:worker_threads').parentPort.postMessage(monotonicNow()))`
  const there = await new Promise<number>((resolve, reject) => {
    new Worker(code, { eval: true }).once('message', resolve).once('error', reject)
  })
  const later = monotonicNow()
  assert.ok(before <= there && there <= later, `${before} <= ${there} <= ${later}`)
})

test('a timer that was cancelled does not run', async () => {
  let ran = false
  const cancel = after(ms(1), () => {
    ran = true
  })
  cancel()
  cancel()
  await pause(ms(5))
  assert.equal(ran, false)
})

test('an unbounded limit never runs out, and one beyond what a timer can hold does not run out at once', async () => {
  let ran = 0
  const cancels = [UNBOUNDED, ms(2 ** 40)].map((limit) => after(limit, () => ran++, { keepAlive: false }))
  await pause(ms(5))
  for (const cancel of cancels) cancel()
  assert.equal(ran, 0)
})

test('what runs at an interval runs until it is cancelled', async () => {
  let runs = 0
  await new Promise<void>((resolve) => {
    const cancel = every(
      ms(1),
      () => {
        if (++runs === 3) {
          cancel()
          resolve()
        }
      },
      { keepAlive: true },
    )
  })
  await pause(ms(5))
  assert.equal(runs, 3)
})
