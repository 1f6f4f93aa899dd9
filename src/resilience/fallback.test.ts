import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ClientDisconnectedError } from './abort-reason.ts'
import { fallbackChain, withFallback } from './fallback.ts'
import { ManualClock } from './manual-clock.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

const ill = new Error('planted')
const fail = (): Promise<never> => Promise.reject(ill)

describe('withFallback', () => {
  it('returns the result of the work if it succeeds', async () => {
    assert.equal(await withFallback('news', async () => 'fresh', 'stale'), 'fresh')
  })

  it('returns the fallback if the work fails, and is degraded', () =>
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

  it('returns the fallback if a wait inside times out', async () => {
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

  it('passes on errors that when rejects', async () => {
    await assert.rejects(withFallback('news', fail, 'stale', { when: () => false }), ill)
    const gone = new ClientDisconnectedError()
    await assert.rejects(
      withFallback('news', () => Promise.reject(gone), 'stale'),
      gone,
    )
  })

  it('rejects with the error of the fallback, with that of the work as its cause', () =>
    withDeadline('work', '1m', async (scope) => {
      const other = new Error('no stale news either')
      await assert.rejects(
        withFallback('news', fail, () => Promise.reject(other)),
        (error) => error === other && other.cause === ill,
      )
      assert.equal(scope.waits.count('failed'), 2)
    }))
})

class HttpError extends Error {
  readonly status: number

  constructor(status: number) {
    super(`HTTP ${status}`)
    this.status = status
  }
}

/** Threads are even, issues are odd, and 13 exists in neither. */
function make(remember?: number) {
  const asked: string[] = []
  const source = (name: string, has: (id: number) => boolean) => async (id: number) => {
    asked.push(`${name} ${id}`)
    if (id === 500) throw new HttpError(500)
    if (!has(id)) throw new HttpError(422)
    return { [name]: id }
  }
  const discussions = fallbackChain('discussion', {
    sources: {
      messaging: source('messaging', (id) => id % 2 === 0),
      issue: source('issue', (id) => id % 2 === 1 && id !== 13),
    },
    next: (error) => error instanceof HttpError && error.status === 422,
    ...(remember === undefined ? {} : { remember }),
  })
  return { asked, discussions }
}

describe('fallbackChain', () => {
  it('asks the next source after an accepted error, and returns the source with the answer', async () => {
    const { asked, discussions } = make()
    assert.deepEqual(await discussions.ask(2), { source: 'messaging', value: { messaging: 2 } })
    assert.deepEqual(await discussions.ask(3), { source: 'issue', value: { issue: 3 } })
    assert.deepEqual(asked, ['messaging 2', 'messaging 3', 'issue 3'])
  })

  it('asks the source that answered last first, before that of the caller', async () => {
    const { asked, discussions } = make()
    await discussions.ask(3)
    asked.length = 0
    assert.equal((await discussions.ask(3, { first: 'messaging' })).source, 'issue')
    assert.deepEqual(asked, ['issue 3'])
    assert.equal(discussions.remembered(3), 'issue')
  })

  it('asks the source of the caller first if none is remembered', async () => {
    const { asked, discussions } = make()
    await discussions.ask(5, { first: 'issue' })
    assert.deepEqual(asked, ['issue 5'])
  })

  it('passes on any other error, and the last one', async () => {
    const { asked, discussions } = make()
    await assert.rejects(discussions.ask(500), { status: 500 })
    assert.deepEqual(asked, ['messaging 500'])
    await assert.rejects(discussions.ask(13), { status: 422 })
    assert.equal(discussions.remembered(13), undefined)
  })

  it('remembers the most recently used keys', async () => {
    const { discussions } = make(2)
    for (const id of [1, 3, 1, 5]) await discussions.ask(id)
    assert.deepEqual(
      [1, 3, 5].map((id) => discussions.remembered(id)),
      ['issue', undefined, 'issue'],
    )
    const { discussions: forgetful } = make(0)
    await forgetful.ask(1)
    assert.equal(forgetful.remembered(1), undefined)
  })

  it('asks no other source once it was given up', () =>
    withDeadline('work', '1m', async () => {
      const asked: string[] = []
      await withDeadline('work', '1m', async (scope) => {
        const both = fallbackChain('discussion', {
          sources: {
            one: (_id: number) => {
              asked.push('one')
              scope.abort(new ClientDisconnectedError())
              throw new HttpError(422)
            },
            two: (_id: number) => asked.push('two'),
          },
          next: () => true,
        })
        await assert.rejects(both.ask(1), ClientDisconnectedError)
      }).catch(() => {})
      assert.deepEqual(asked, ['one'])
    }))

  it('rejects an empty list of sources', () => {
    assert.throws(() => fallbackChain('none', { sources: {}, next: () => true }), {
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option: 'sources', given: {} },
    })
  })
})
