import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ClientGoneError } from './abort-reason.ts'
import { fallbackTo } from './fallback-to.ts'
import { ManualClock } from './manual-clock.ts'
import { runWithin } from './run-within.ts'
import { within } from './within.ts'

const ill = new Error('planted')
const fail = (): Promise<never> => Promise.reject(ill)

describe('fallbackTo', () => {
  it('gives what the work gives while that succeeds', async () => {
    assert.equal(await fallbackTo('news', async () => 'fresh', 'stale'), 'fresh')
  })

  it('gives the fallback where the work fails, and is degraded then', () =>
    runWithin({ limit: '1m' }, async (scope) => {
      assert.equal(await fallbackTo('news', fail, 'stale'), 'stale')
      assert.equal(await fallbackTo('news', fail, (error) => error), ill)
      assert.equal(
        await fallbackTo(
          'news',
          () => assert.fail('planted'),
          async () => 'stale',
        ),
        'stale',
      )
      assert.equal(scope.ledger.count('degraded'), 3)
    }))

  it('gives the fallback where a wait inside runs out', async () => {
    const clock = new ManualClock()
    const result = runWithin({ limit: '1m', wheel: clock.wheel }, () =>
      fallbackTo('news', () => within('fetch', '1s', () => new Promise<never>(() => {})), 'stale'),
    )
    await clock.advance('1s')
    assert.equal(await result, 'stale')
  })

  it('passes on errors it is not for', async () => {
    await assert.rejects(fallbackTo('news', fail, 'stale', { when: () => false }), ill)
    const gone = new ClientGoneError()
    await assert.rejects(
      fallbackTo('news', () => Promise.reject(gone), 'stale'),
      gone,
    )
  })

  it('a fallback that fails gives its own error, with the first as its cause', () =>
    runWithin({ limit: '1m' }, async (scope) => {
      const other = new Error('no stale news either')
      await assert.rejects(
        fallbackTo('news', fail, () => Promise.reject(other)),
        (error) => error === other && other.cause === ill,
      )
      assert.equal(scope.ledger.count('failed'), 2)
    }))
})
