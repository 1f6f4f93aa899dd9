import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import {
  after,
  deadlineAt,
  deadlineIn,
  every,
  monotonicNow,
  NO_DEADLINE,
  pause,
  remainingUntil,
  soonerOf,
} from './clock.ts'
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

test('a cancelled timer does not run', async () => {
  let ran = false
  const cancel = after(ms(1), () => {
    ran = true
  })
  cancel()
  cancel()
  await pause(ms(5))
  assert.equal(ran, false)
})

test('an unbounded delay never ends, and one beyond the range of a timer does not end at once', async () => {
  let ran = 0
  const cancels = [UNBOUNDED, ms(2 ** 40)].map((limit) => after(limit, () => ran++, { keepAlive: false }))
  await pause(ms(5))
  for (const cancel of cancels) cancel()
  assert.equal(ran, 0)
})

test('an interval runs until it is cancelled', async () => {
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

test('the time until a deadline shrinks with the clock, down to 0', () => {
  const deadline = deadlineIn(ms(250), 1_000)
  assert.equal(deadline, deadlineAt(1_250))
  assert.equal(remainingUntil(deadline, 1_000), 250)
  assert.equal(remainingUntil(deadline, 1_249), 1)
  assert.equal(remainingUntil(deadline, 9_000), 0)
})

test('a deadline uses the monotonic clock by default', () => {
  const before = monotonicNow()
  const deadline = deadlineIn(ms(60_000))
  assert.ok(deadline >= before + 60_000 && deadline <= monotonicNow() + 60_000)
  assert.ok(remainingUntil(deadline) <= 60_000 && remainingUntil(deadline) > 0)
})

test('an unbounded timeout gives no deadline, and any other is sooner than none', () => {
  assert.equal(deadlineIn(UNBOUNDED, 5), NO_DEADLINE)
  assert.equal(remainingUntil(NO_DEADLINE), UNBOUNDED)
  assert.equal(soonerOf(NO_DEADLINE, deadlineAt(7)), 7)
  assert.equal(soonerOf(deadlineAt(7), deadlineAt(3)), 3)
})
