import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ClientDisconnectedError } from './abort-reason.ts'
import { BulkheadFullError, bulkhead } from './bulkhead.ts'
import { ManualClock } from './manual-clock.ts'
import type { WaitScope } from './wait-scope.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

const never = new Promise<never>(() => {})

function scoped<Value>(job: (clock: ManualClock, scope: WaitScope) => Promise<Value>): Promise<Value> {
  const clock = new ManualClock()
  return withDeadline('work', '10m', (scope) => job(clock, scope), { wheel: clock.wheel })
}

describe('a bulkhead', () => {
  it('runs as many calls as allowed, and the others in order of arrival', () =>
    scoped(async (clock, scope) => {
      const slots = bulkhead('partner', { concurrent: 2, queue: 3 })
      const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
      const begun: number[] = []
      const calls = gates.map(({ promise }, index) =>
        slots.run(async () => {
          begun.push(index)
          await promise
          return index
        }),
      )
      await clock.settle()
      assert.deepEqual([begun, slots.running, slots.queued], [[0, 1], 2, 2])
      assert.deepEqual(
        scope.open().map(({ name }) => name),
        ['partner: queue', 'partner: queue'],
      )
      gates[1]?.resolve()
      await clock.settle()
      assert.deepEqual([begun, slots.running, slots.queued], [[0, 1, 2], 2, 1])
      for (const gate of gates) gate.resolve()
      assert.deepEqual(await Promise.all(calls), [0, 1, 2, 3])
      assert.deepEqual([slots.running, slots.queued], [0, 0])
      assert.equal(scope.waits.count('ok'), 2)
    }))

  it('refuses at once when it is full', () =>
    scoped(async (_clock, scope) => {
      const slots = bulkhead('partner', { concurrent: 1 })
      const gate = Promise.withResolvers<void>()
      const call = slots.run(() => gate.promise)
      await assert.rejects(
        slots.run(() => assert.fail('called')),
        (error) => {
          assert.ok(error instanceof BulkheadFullError)
          assert.deepEqual([error.bulkhead, error.running, error.queued], ['partner', 1, 0])
          return true
        },
      )
      assert.equal(scope.waits.count('refused'), 1)
      gate.resolve()
      await call
      assert.equal(await slots.run(() => 1), 1)
    }))

  it('frees the slot whether the work returns, throws or rejects', async () => {
    const slots = bulkhead('partner', { concurrent: 1 })
    assert.equal(await slots.run(() => 1), 1)
    await assert.rejects(slots.run(() => assert.fail('planted')))
    await assert.rejects(slots.run(() => Promise.reject(new Error('planted'))))
    assert.equal(slots.running, 0)
  })

  it('queues a call up to its timeout, or the deadline', () =>
    scoped(async (clock) => {
      const slots = bulkhead('partner', { concurrent: 1, queue: 2, queueTimeout: '2s' })
      const gate = Promise.withResolvers<void>()
      const call = slots.run(() => gate.promise)
      const checked = Promise.all([
        assert.rejects(
          slots.run(() => 1),
          { wait: 'partner: queue', timeout: 2_000, because: 'timeout' },
        ),
        assert.rejects(
          withTimeout('page', '1s', () => slots.run(() => 1)),
          { wait: 'page' },
        ),
      ])
      await clock.settle()
      assert.equal(slots.queued, 2)
      await clock.advance('1s')
      assert.equal(slots.queued, 1)
      await clock.advance('1s')
      await checked
      assert.deepEqual([slots.queued, slots.running], [0, 1])
      gate.resolve()
      await call
      assert.equal(slots.running, 0)
    }))

  it('removes a queued call when its client disconnects, even as it gets the slot', () =>
    scoped(async (clock) => {
      const slots = bulkhead('partner', { concurrent: 1, queue: 2 })
      const gate = Promise.withResolvers<void>()
      const call = slots.run(() => gate.promise)
      const gone = new ClientDisconnectedError()
      const scopes: WaitScope[] = []
      const queued = [1, 2].map(() =>
        withDeadline('work', '1m', (scope) => {
          scopes.push(scope)
          return slots.run(() => assert.fail('called'))
        }),
      )
      const checked = Promise.all(queued.map((promise) => assert.rejects(promise, gone)))
      await clock.settle()
      scopes[0]?.abort(gone)
      assert.equal(slots.queued, 1)
      gate.resolve()
      await call
      scopes[1]?.abort(gone)
      await checked
      assert.deepEqual([slots.queued, slots.running], [0, 0])
    }))

  it('keeps the slot of abandoned work', () =>
    scoped(async (clock) => {
      const slots = bulkhead('partner', { concurrent: 2 })
      const [inside, around] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const checked = Promise.all([
        assert.rejects(slots.run(() => withTimeout('inside', '1s', () => inside.promise))),
        assert.rejects(withTimeout('around', '1s', () => slots.run(() => around.promise))),
      ])
      await clock.advance('1s')
      await checked
      assert.equal(slots.running, 2)
      inside.resolve()
      await clock.settle()
      assert.equal(slots.running, 1)
      around.resolve()
      await clock.settle()
      assert.equal(slots.running, 0)
    }))

  it('does not call work that was given up before', () =>
    scoped(async (_clock, scope) => {
      const slots = bulkhead('partner', { concurrent: 1 })
      const inner = withDeadline('work', '1s', async (inside) => {
        inside.abort(new ClientDisconnectedError())
        await assert.rejects(
          slots.run(() => never),
          ClientDisconnectedError,
        )
      })
      await inner
      assert.equal(slots.running, 0)
      assert.equal(scope.over, false)
    }))

  it('rejects invalid options', () => {
    for (const [option, given] of [
      ['concurrent', 0],
      ['concurrent', 1.5],
      ['queue', -1],
      ['queueTimeout', -1],
    ] as const) {
      assert.throws(() => bulkhead('partner', { concurrent: 1, [option]: given }), {
        code: 'PUNCTUAL_INVALID_OPTION',
        details: { option, given },
      })
    }
  })
})
