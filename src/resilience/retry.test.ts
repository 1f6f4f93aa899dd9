import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { ClientDisconnectedError, WaitTimeoutError } from './abort-reason.ts'
import { BreakerOpenError } from './breaker.ts'
import { ms } from './duration.ts'
import { ManualClock } from './manual-clock.ts'
import { type RetryOptions, retry } from './retry.ts'
import type { WaitScope } from './wait-scope.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

const ill = new Error('planted')

/** Work that fails a number of times, and records when it was called. */
function failing(
  clock: ManualClock,
  times: number,
  error: unknown = ill,
): { calls: number[]; work: () => Promise<string> } {
  const calls: number[] = []
  return {
    calls,
    work: async () => {
      calls.push(clock.now())
      if (calls.length <= times) throw error
      return 'well'
    },
  }
}

function scoped<Value>(
  job: (clock: ManualClock, scope: WaitScope) => Promise<Value>,
  limit: number | '10m' = '10m',
): Promise<Value> {
  const clock = new ManualClock()
  return withDeadline('work', limit, (scope) => job(clock, scope), { wheel: clock.wheel })
}

function make(clock: ManualClock, options: Partial<RetryOptions> = {}): ReturnType<typeof retry> {
  return retry('partner', { initialDelay: '100ms', random: () => 0.5, wheel: clock.wheel, ...options })
}

describe('a retry', () => {
  for (const [shape, error] of Object.entries({
    'the headers of an error': { headers: { 'Retry-After': '2' } },
    'its response': { response: { headers: new Headers({ 'retry-after': '2' }) } },
  })) {
    it(`waits for as long as Retry-After in ${shape} asks for`, () =>
      scoped(async (clock) => {
        const { calls, work } = failing(clock, 1, Object.assign(new Error('too many requests'), error))
        const result = make(clock).run(work)
        await clock.advance('3s')
        assert.equal(await result, 'well')
        assert.deepEqual(calls, [0, 2_000])
      }))
  }

  it('rejects at once if Retry-After is beyond its deadline, or longer than a minute', async () => {
    for (const [limit, seconds] of [
      [1_000, 2],
      ['10m', 61],
    ] as const) {
      await scoped(async (clock) => {
        const error = Object.assign(new Error('busy'), { headers: { 'retry-after': seconds } })
        const { calls, work } = failing(clock, 1, error)
        await assert.rejects(make(clock).run(work), error)
        assert.deepEqual(calls, [0])
      }, limit)
    }
  })

  it('retries after a growing delay until the work succeeds', () =>
    scoped(async (clock, scope) => {
      const { calls, work } = failing(clock, 2)
      const attempts: number[] = []
      const result = make(clock).run((_wait, attempt) => {
        attempts.push(attempt)
        return work()
      })
      await clock.advance('1s')
      assert.equal(await result, 'well')
      assert.deepEqual(calls, [0, 50, 150])
      assert.deepEqual(attempts, [1, 2, 3])
      assert.deepEqual(
        scope.waits.recorded.map(({ name, outcome }) => `${name} ${outcome}`),
        ['partner: back-off ok', 'partner: back-off ok'],
      )
    }))

  it('rejects with the last error when no attempts are left', () =>
    scoped(async (clock) => {
      const { calls, work } = failing(clock, 9)
      const checked = assert.rejects(make(clock, { attempts: 2 }).run(work), ill)
      await clock.advance('1s')
      await checked
      assert.equal(calls.length, 2)
    }))

  it('does not retry errors that are not worth it', () =>
    scoped(async (clock) => {
      const open = new BreakerOpenError('partner', ms(5_000), ill)
      const unbegun = new WaitTimeoutError({
        wait: 'call',
        timeout: ms(0),
        elapsed: ms(0),
        because: 'deadline',
        started: false,
      })
      for (const error of [open, unbegun, new ClientDisconnectedError()]) {
        const { calls, work } = failing(clock, 9, error)
        await assert.rejects(make(clock).run(work), error)
        assert.equal(calls.length, 1)
      }
      const { calls, work } = failing(clock, 9)
      await assert.rejects(make(clock, { when: (error) => error !== ill }).run(work), ill)
      assert.equal(calls.length, 1)
    }))

  it('does not start a delay that exceeds the deadline', () =>
    scoped(async (clock) => {
      const { calls, work } = failing(clock, 9)
      await assert.rejects(make(clock, { initialDelay: '1s', attempts: 9 }).run(work), ill)
      assert.deepEqual(calls, [0])
      assert.equal(clock.now(), 0)
    }, 400))

  it('does not outlive the wait around it', () =>
    scoped(async (clock) => {
      const { calls, work } = failing(clock, 99)
      const wait = withTimeout('page', '1s', () =>
        make(clock, { attempts: 99, random: () => 0.999, budget: { max: 99 } }).run(work),
      )
      const checked = assert.rejects(wait, ill)
      await clock.advance('1m')
      await checked
      assert.ok(calls.length > 1)
      assert.ok(calls.every((at) => at < 1_000))
    }))

  it('stops during a delay when its client disconnects', () =>
    scoped(async (clock) => {
      const gone = new ClientDisconnectedError()
      const { calls, work } = failing(clock, 9)
      let inside: WaitScope | undefined
      const wait = withDeadline('work', '1m', (scope) => {
        inside = scope
        return make(clock, { initialDelay: '10s', maxDelay: '10s' }).run(work)
      })
      const checked = assert.rejects(wait, gone)
      await clock.advance('1s')
      inside?.abort(gone)
      await checked
      await clock.advance('1m')
      assert.equal(calls.length, 1)
    }))

  it('makes no more retries than its budget allows, over all calls', () =>
    scoped(async (clock) => {
      const policy = make(clock, { attempts: 2, budget: { share: 0.1, perSecond: 0, max: 5 } })
      let calls = 0
      const all = Array.from({ length: 200 }, () =>
        policy
          .run(async () => {
            calls++
            throw ill
          })
          .catch(() => {}),
      )
      await clock.advance('1m')
      await Promise.all(all)
      assert.equal(calls, 205)
      for (let count = 0; count < 100; count++) {
        const again = policy.run(() => {
          calls++
          throw ill
        })
        const checked = assert.rejects(again, ill)
        await clock.advance('1s')
        await checked
      }
      assert.ok(calls >= 314 && calls <= 316, `${calls}`)
    }))

  it('rejects invalid options', () => {
    const clock = new ManualClock()
    for (const [wrong, option] of [
      [{ attempts: 0 }, 'attempts'],
      [{ initialDelay: -1 }, 'initialDelay'],
      [{ maxDelay: Number.NaN }, 'maxDelay'],
      [{ budget: { share: -1 } }, 'budget.share'],
      [{ budget: { max: Number.POSITIVE_INFINITY } }, 'budget.max'],
    ] as const) {
      assert.throws(
        () => make(clock, wrong),
        (error) => error instanceof InvalidOptionError && error.details.option === option,
        option,
      )
    }
  })
})
