import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from './manual-clock.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

test('a minute passes in no time, and everything happens in order and at its time', async () => {
  const clock = new ManualClock(5)
  const seen: string[] = []
  const work = withDeadline(
    'work',
    '2m',
    async () => {
      for (const limit of ['30s', '20s'] as const) {
        await withTimeout('wait', limit, () => new Promise(() => {})).catch(() =>
          seen.push(`${limit} at ${clock.now()}`),
        )
      }
    },
    { wheel: clock.wheel },
  )
  await clock.advance('1m')
  await work
  assert.deepEqual(seen, ['30s at 30005', '20s at 50005'])
  assert.equal(clock.now(), 60_005)
})

test('a jump runs nothing by itself', async () => {
  const clock = new ManualClock()
  let expired = false
  const work = withDeadline('work', '1s', () => new Promise(() => {}), { wheel: clock.wheel }).catch(() => {
    expired = true
  })
  clock.jump('1m')
  assert.equal(expired, false)
  await clock.settle()
  await work
  assert.equal(expired, true)
})
