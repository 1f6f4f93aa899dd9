import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ClientDisconnectedError } from './abort-reason.ts'
import { ManualClock } from './manual-clock.ts'
import { withDeadline } from './with-deadline.ts'
import { withFallback } from './with-fallback.ts'
import { withTimeout } from './with-timeout.ts'

const ill = new Error('planted')
const fail = (): Promise<never> => Promise.reject(ill)

describe('withFallback', () => {
  it('gives what the work gives while that succeeds', async () => {
    assert.equal(await withFallback('news', async () => 'fresh', 'stale'), 'fresh')
  })

  it('gives the fallback where the work fails, and is degraded then', () =>
    withDeadline('work', '1m', async (scope) => {
      assert.equal(await withFallback('news', fail, 'stale'), 'stale')
      assert.equal(await withFallback('news', fail, (error) => error), ill)
      assert.equal(
        await withFallback(
          'news',
          () => assert.fail('planted'),
          async () => 'stale',
        ),
        'stale',
      )
      assert.equal(scope.waits.count('degraded'), 3)
    }))

  it('gives the fallback where a wait inside runs out', async () => {
    const clock = new ManualClock()
    const result = withDeadline(
      'work',
      '1m',
      () => withFallback('news', () => withTimeout('fetch', '1s', () => new Promise<never>(() => {})), 'stale'),
      { wheel: clock.wheel },
    )
    await clock.advance('1s')
    assert.equal(await result, 'stale')
  })

  it('passes on errors it is not for', async () => {
    await assert.rejects(withFallback('news', fail, 'stale', { when: () => false }), ill)
    const gone = new ClientDisconnectedError()
    await assert.rejects(
      withFallback('news', () => Promise.reject(gone), 'stale'),
      gone,
    )
  })

  it('a fallback that fails gives its own error, with the first as its cause', () =>
    withDeadline('work', '1m', async (scope) => {
      const other = new Error('no stale news either')
      await assert.rejects(
        withFallback('news', fail, () => Promise.reject(other)),
        (error) => error === other && other.cause === ill,
      )
      assert.equal(scope.waits.count('failed'), 2)
    }))
})
