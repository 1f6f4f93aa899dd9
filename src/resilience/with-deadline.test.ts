import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { DeadlineExceededError, ShutdownError, WaitTimeoutError } from './abort-reason.ts'
import { deadlineAt, monotonicNow } from './clock.ts'
import { ManualClock } from './manual-clock.ts'
import { currentWaits, WaitScope, waitScopes } from './wait-scope.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

const never = new Promise<never>(() => {})

describe('withDeadline', () => {
  it('gives its work a scope that awaits and timers keep', async () => {
    const seen = await withDeadline('work', '5s', async (scope) => {
      await null
      return scope === currentWaits()
    })
    assert.equal(seen, true)
    assert.equal(currentWaits(), undefined)
  })

  it('ends at its timeout with everything inside, and waits inside leave the reserve', async () => {
    const clock = new ManualClock()
    let scope: WaitScope | undefined
    const whole = withDeadline(
      'nightly',
      '10s',
      async (given) => {
        scope = given
        assert.equal(given.remaining, 10_000)
        await withTimeout('first', '1m', () => never).catch(() => {})
        return never
      },
      { reserve: '1s', wheel: clock.wheel },
    )
    const checked = assert.rejects(whole, { name: 'WaitTimeoutError', wait: 'nightly', timeout: 10_000 })
    await clock.advance('9s')
    assert.deepEqual(
      scope?.waits.recorded.map(({ timeout: limit, outcome }) => [limit, outcome]),
      [[9_000, 'timed-out']],
    )
    await clock.advance('1s')
    await checked
    assert.ok(scope?.reason instanceof WaitTimeoutError)
    assert.equal(scope.signal.aborted, true)
  })

  it('uses the nearer deadline inside other work, and is given up with it', async () => {
    const clock = new ManualClock()
    await withDeadline(
      'work',
      '10s',
      async (outer) => {
        let inside: WaitScope | undefined
        const inner = withDeadline('inner', '1m', (scope) => {
          inside = scope
          return never
        })
        assert.equal(inside?.remaining, 10_000)
        assert.deepEqual(
          outer.open().map(({ name }) => name),
          ['inner'],
        )
        outer.abort(new ShutdownError())
        await assert.rejects(inner, { kind: 'shutdown' })
        assert.equal(inside?.signal.aborted, true)
      },
      { wheel: clock.wheel },
    ).catch((error: unknown) => assert.ok(error instanceof ShutdownError))
  })

  it('is given up by a signal', async () => {
    const controller = new AbortController()
    const reason = new ShutdownError()
    const work = withDeadline('work', '5s', () => withTimeout('job', '5s', () => never), { signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(work, reason)
  })

  it('rejects with an error for invalid durations', async () => {
    await assert.rejects(
      withDeadline('nightly', -1, () => 1),
      { name: 'InvalidOptionError', details: { option: 'timeout', given: -1 } },
    )
    await assert.rejects(
      withDeadline('nightly', 1, () => 1, { reserve: -1 }),
      { name: 'InvalidOptionError', details: { option: 'reserve', given: -1 } },
    )
  })
})

describe('a scope', () => {
  it('creates signal and list of waits on first use', () => {
    const scope = new WaitScope(0, deadlineAt(10))
    assert.equal(scope.hasWaited, false)
    assert.deepEqual(scope.open(), [])
    assert.equal(scope.hasWaited, false)
    assert.equal(scope.waits, scope.waits)
    assert.equal(scope.hasWaited, true)
  })

  it('gives everything up at a watched deadline, without keeping the process alive', async () => {
    const clock = new ManualClock()
    const scope = new WaitScope(0, deadlineAt(1_000), 0, null, clock.wheel)
    scope.watchDeadline()
    const wait = waitScopes.run(scope, () =>
      withTimeout('query', '5s', () => never, { signal: new AbortController().signal }),
    )
    const checked = assert.rejects(wait)
    await clock.advance('999ms')
    assert.equal(scope.over, false)
    await clock.advance('1ms')
    await checked
    assert.ok(scope.reason instanceof DeadlineExceededError)
    assert.equal(scope.reason.elapsed, 1_000)
    assert.equal(scope.waits.count('timed-out'), 1)
  })

  it('aborts a signal that is created late at once', () => {
    const scope = new WaitScope(0, deadlineAt(10))
    const reason = new ShutdownError()
    scope.abort(reason)
    assert.equal(scope.signal.aborted, true)
    assert.equal(scope.signal.reason, reason)
  })

  it('is shared by two copies of the package', async () => {
    const copy = (await import(`./wait-scope.ts?copy=${process.pid}`)) as typeof import('./wait-scope.ts')
    assert.notEqual(copy.WaitScope, WaitScope)
    assert.equal(copy.waitScopes, waitScopes)
  })

  it('limits a wait of another copy of the package, also after its deadline moved', async () => {
    const copy = (await import(`./wait-scope.ts?copy=${process.pid}`)) as typeof import('./wait-scope.ts')
    const now = monotonicNow()
    const foreign = new copy.WaitScope(now, deadlineAt(now + 60_000))
    const deadlineInside = (): Promise<number> => withTimeout('inside', 'unbounded', ({ deadline }) => deadline)
    assert.equal(await foreign.enter(deadlineInside), now + 60_000)
    foreign.deadline = deadlineAt(now + 90_000)
    assert.equal(await foreign.enter(deadlineInside), now + 90_000)
  })
})
