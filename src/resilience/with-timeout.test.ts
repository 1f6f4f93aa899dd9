import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, it } from 'node:test'
import { ClientDisconnectedError, ShutdownError, WaitTimeoutError } from './abort-reason.ts'
import { abandonedOperations } from './bounded-operation.ts'
import { deadlineAt } from './clock.ts'
import { ManualClock } from './manual-clock.ts'
import type { WaitContext } from './wait-node.ts'
import { CLEAN_UP_TIMEOUT, currentWaits, WaitScope } from './wait-scope.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

/** Work that a test can end. */
function pending<Value>(): {
  promise: Promise<Value>
  resolve: (value: Value) => void
  reject: (error: unknown) => void
} {
  return Promise.withResolvers<Value>()
}

/** How a promise has settled, without waiting for it. */
async function settled(promise: Promise<unknown>): Promise<unknown> {
  const open = Symbol('open')
  const state = await Promise.race([
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    Promise.resolve(open),
  ])
  return state === open ? 'open' : state
}

let clock = new ManualClock()

/** Runs a test in a scope with a manual clock. */
function scoped<Value>(job: (scope: WaitScope) => Promise<Value>, limit = 30_000, reserve = 0): Promise<Value> {
  clock = new ManualClock(1_000)
  return withDeadline('test', limit, job, { reserve, wheel: clock.wheel })
}

function outcomes(scope: WaitScope): string[] {
  return scope.waits.recorded.map(({ name, outcome }) => `${name} ${outcome}`)
}

const never = new Promise<never>(() => {})

afterEach(() => {
  assert.equal(clock.wheel.size, 0, 'timers are left behind')
})

describe('withTimeout', () => {
  it('returns the result of the work, at once or later, and records it', () =>
    scoped(async (scope) => {
      assert.equal(await withTimeout('value', '5s', () => 7), 7)
      assert.equal(await withTimeout('promise', '5s', async () => 'later'), 'later')
      // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable that is not a promise
      const foreign = { then: (resolve: (value: number) => void) => resolve(9) }
      assert.equal(await withTimeout('thenable', '5s', () => foreign as PromiseLike<number>), 9)
      assert.deepEqual(outcomes(scope), ['value ok', 'promise ok', 'thenable ok'])
      const [first] = scope.waits.recorded
      assert.deepEqual([first?.startedAt, first?.timeout, first?.endedAt], [1_000, 5_000, 1_000])
      assert.equal(clock.wheel.size, 1)
    }))

  it('passes on what the work throws or rejects with', () =>
    scoped(async (scope) => {
      const error = new Error('planted')
      const thrower = (): never => {
        throw error
      }
      await assert.rejects(withTimeout('throws', '5s', thrower, { fallback: 1 }), error)
      await assert.rejects(
        withTimeout('rejects', '5s', () => Promise.reject(error)),
        error,
      )
      assert.deepEqual(outcomes(scope), ['throws failed', 'rejects failed'])
    }))

  it('times out with its name, timeout, length and limit, and aborts the signal with the same error', () =>
    scoped(async (scope) => {
      let context: WaitContext | undefined
      const wait = withTimeout('user', '5s', (given) => {
        context = given
        assert.equal(given.remaining, 5_000)
        assert.equal(given.signal.aborted, false)
        return never
      })
      await clock.advance('4999ms')
      assert.equal(await settled(wait), 'open')
      assert.equal(context?.remaining, 1)
      assert.deepEqual(
        scope.open().map(({ name }) => name),
        ['user'],
      )
      await clock.advance('1ms')
      const error = await wait.catch((reason: unknown) => reason)
      assert.ok(error instanceof WaitTimeoutError)
      const { wait: name, timeout: limit, elapsed, because, started } = error
      assert.deepEqual([name, limit, elapsed, because, started], ['user', 5_000, 5_000, 'timeout', true])
      assert.equal(context?.signal.reason, error)
      assert.equal(context?.remaining, 0)
      assert.deepEqual(outcomes(scope), ['user timed-out'])
      assert.deepEqual(scope.open(), [])
    }))

  it('ends at the deadline less the reserve if that is sooner, and reports it', () =>
    scoped(
      async () => {
        const wait = assert.rejects(
          withTimeout('user', '5s', () => never),
          { wait: 'user', timeout: 900, elapsed: 900, because: 'deadline', started: true },
        )
        await clock.advance('900ms')
        await wait
        await clock.advance('50ms')
        assert.equal(
          await withTimeout('late', '5s', () => assert.fail('begun'), { fallback: 'otherwise' }),
          'otherwise',
        )
      },
      1_000,
      100,
    ))

  it('cleans up with a short timeout of its own after its scope was told that the time is up', () => {
    clock = new ManualClock(1_000)
    const scope = new WaitScope(clock.wheel.now(), deadlineAt(2_000), 100, null, clock.wheel)
    return scope.enter(async () => {
      await clock.advance('950ms')
      await assert.rejects(
        withTimeout('early', '5s', () => assert.fail('begun')),
        { wait: 'early', timeout: 0, because: 'deadline', started: false },
      )
      assert.equal(await withTimeout('unlock', '5s', () => 'unlocked'), 'unlocked')
      scope.abort(new ShutdownError())
      const hung = assert.rejects(
        withTimeout('unlock', '1m', () => never),
        { timeout: CLEAN_UP_TIMEOUT },
      )
      await clock.advance(CLEAN_UP_TIMEOUT)
      await hung
      assert.equal(await withTimeout('poll', '1m', ({ remaining }) => Math.round(remaining)), 60_000)
    })
  })

  it('that outlives its scope is left to its own timeout', async () => {
    let outlives: Promise<unknown> = never
    let startLater: () => Promise<unknown> = () => never
    await scoped(async () => {
      outlives = withTimeout('job', '5s', () => never)
      outlives.catch(() => {})
      const inside = AsyncLocalStorage.snapshot()
      startLater = () => inside(() => withTimeout('later', '5s', () => 'begun'))
    }, 1_000)
    await clock.advance('1s')
    assert.equal(await settled(outlives), 'open')
    await clock.advance('4s')
    await assert.rejects(outlives, { because: 'timeout', timeout: 5_000, elapsed: 5_000 })
    assert.equal(await startLater(), 'begun')
  })

  it('is not started with less time than atLeast', () =>
    scoped(async (scope) => {
      await clock.advance('990ms')
      await assert.rejects(
        withTimeout('mail', '5s', () => assert.fail('begun'), { atLeast: '20ms' }),
        { started: false, because: 'deadline' },
      )
      assert.equal(await withTimeout('mail', '5s', () => 1, { atLeast: '5ms' }), 1)
      assert.deepEqual(outcomes(scope), ['mail refused', 'mail ok'])
    }, 1_000))

  it('takes the fallback at the timeout, and is degraded', () =>
    scoped(async (scope) => {
      const value = withTimeout('value', '1s', () => never, { fallback: [] as string[] })
      const made = withTimeout('made', '1s', () => never, { fallback: (expired) => expired.wait })
      const empty = withTimeout('empty', '1s', () => never, { fallback: undefined })
      const promised = withTimeout('promised', '1s', () => never, { fallback: async () => 'cached' })
      await clock.advance('1s')
      assert.deepEqual(await Promise.all([value, made, empty, promised]), [[], 'made', undefined, 'cached'])
      assert.deepEqual(outcomes(scope), [
        'value degraded',
        'made degraded',
        'empty degraded',
        'promised degraded',
        'promised: fallback ok',
      ])
      assert.equal(scope.waits.count('degraded'), 4)
    }))

  it('rejects with the timeout if the fallback fails or hangs, with its error as the cause', () =>
    scoped(async (scope) => {
      const failure = new Error('planted')
      const fails = withTimeout('fails', '1s', () => never, { fallback: () => Promise.reject(failure) })
      const throws = withTimeout('throws', '1s', () => never, {
        fallback: () => {
          throw failure
        },
      })
      const hangs = withTimeout('hangs', '1s', () => never, { fallback: () => never })
      const checked = Promise.all([
        assert.rejects(fails, { wait: 'fails', cause: failure }),
        assert.rejects(throws, { wait: 'throws', cause: failure }),
        assert.rejects(hangs, (error) => {
          assert.ok(error instanceof WaitTimeoutError && error.cause instanceof WaitTimeoutError)
          assert.deepEqual([error.wait, error.cause.wait, error.cause.timeout], ['hangs', 'hangs: fallback', 1_000])
          return true
        }),
      ])
      await clock.advance('2s')
      await checked
      assert.equal(scope.waits.count('timed-out'), 4)
    }))

  it('disposes of a late result, drops a late rejection, and counts as abandoned until then', () =>
    scoped(async () => {
      const result = pending<string>()
      const failure = pending<string>()
      const disposed: string[] = []
      const waits = [
        withTimeout('late', '1s', () => result.promise, { dispose: (late) => disposed.push(late) }),
        withTimeout('late', '1s', () => failure.promise),
      ]
      const checked = Promise.all(waits.map((wait) => assert.rejects(wait, WaitTimeoutError)))
      await clock.advance('1s')
      await checked
      assert.equal(abandonedOperations().get('late'), 2)
      failure.reject(new Error('a late rejection'))
      await clock.settle()
      assert.equal(abandonedOperations().get('late'), 1)
      result.resolve('a connection')
      await clock.settle()
      assert.equal(abandonedOperations().has('late'), false)
      assert.deepEqual(disposed, ['a connection'])
    }))

  it('warns if dispose fails', () =>
    scoped(async () => {
      const result = pending<string>()
      const other = pending<string>()
      const rejected = [
        assert.rejects(withTimeout('thrown', '1s', () => result.promise, { dispose: () => assert.fail('planted') })),
        assert.rejects(
          withTimeout('async', '1s', () => other.promise, { dispose: () => Promise.reject(new Error('planted')) }),
        ),
      ]
      await clock.advance('1s')
      await Promise.all(rejected)
      for (const late of [result, other]) {
        const warned = once(process, 'warning', { signal: AbortSignal.timeout(10_000) })
        late.resolve('x')
        const [warning] = (await warned) as [Error & { code: string }]
        assert.equal(warning.code, 'PUNCTUAL_DISPOSE_FAILED')
      }
    }))

  it('rejects with the reason if its scope is given up, without a fallback', () =>
    scoped(async (scope) => {
      const gone = new ClientDisconnectedError()
      let signal: AbortSignal | undefined
      const result = pending<string>()
      const disposed: string[] = []
      const wait = withTimeout(
        'query',
        '5s',
        (context) => {
          signal = context.signal
          return result.promise
        },
        { fallback: 'otherwise', dispose: (late) => disposed.push(late) },
      )
      scope.abort(gone)
      scope.abort(new ShutdownError())
      await assert.rejects(wait, gone)
      assert.equal(signal?.reason, gone)
      assert.equal(scope.signal.reason, gone)
      assert.deepEqual(outcomes(scope), ['query aborted'])
      result.resolve('late')
      await clock.settle()
      assert.deepEqual(disposed, ['late'])
    }))

  it('is given up during its fallback, too', () =>
    scoped(async (scope) => {
      const wait = withTimeout('query', '1s', () => never, { fallback: () => never })
      await clock.advance('1s')
      scope.abort(new ShutdownError())
      await assert.rejects(wait, { kind: 'shutdown' })
      assert.equal(scope.waits.count('timed-out'), 0)
      assert.equal(scope.waits.count('aborted'), 2)
    }))

  it('is given up by its own work, for any result of that', () =>
    scoped(async (scope) => {
      const disposed: number[] = []
      const wait = withTimeout(
        'suicide',
        '5s',
        () => {
          scope.abort(new ShutdownError())
          return 7
        },
        { dispose: (late) => disposed.push(late) },
      )
      await assert.rejects(wait, { kind: 'shutdown' })
      await clock.settle()
      assert.deepEqual(disposed, [7])
    }))

  it('is given up by the signal in its options', () =>
    scoped(async (scope) => {
      const controller = new AbortController()
      const wait = withTimeout('query', '5s', () => never, { signal: controller.signal })
      const done = withTimeout('done', '5s', async () => 1, { signal: controller.signal })
      assert.equal(await done, 1)
      controller.abort('changed my mind')
      await assert.rejects(
        () => wait,
        (reason) => reason === 'changed my mind',
      )
      await assert.rejects(
        () => withTimeout('after', '5s', () => assert.fail('begun'), { signal: controller.signal }),
        (reason) => reason === 'changed my mind',
      )
      assert.deepEqual(outcomes(scope), ['query aborted', 'done ok', 'after refused'])
    }))

  it('ends with the wait whose work started it', () =>
    scoped(async (scope) => {
      let inner: Promise<unknown> = Promise.resolve()
      let innerContext: WaitContext | undefined
      const outer = withTimeout('outer', '1s', () => {
        inner = withTimeout('inner', '5s', (context) => {
          innerContext = context
          return never
        })
        return inner
      })
      assert.equal(innerContext?.remaining, 1_000)
      const checked = Promise.all([assert.rejects(outer, WaitTimeoutError), assert.rejects(inner, WaitTimeoutError)])
      await clock.advance('1s')
      await checked
      assert.equal(innerContext?.signal.aborted, true)
      assert.equal(scope.waits.count('timed-out'), 2)
    }))

  it('belongs to its parent option after an await', () =>
    scoped(async () => {
      const gate = pending<void>()
      const outer = withTimeout('outer', '1s', async (wait) => {
        await gate.promise
        const loose = withTimeout('loose', '5s', () => never)
        loose.catch(() => {})
        await Promise.all([
          assert
            .rejects(
              withTimeout('bound', '5s', () => never, { parent: wait }),
              { timeout: 600, because: 'deadline' },
            )
            .catch(() => {}),
          loose,
        ])
      })
      outer.catch(() => {})
      await clock.advance('400ms')
      gate.resolve()
      await clock.settle()
      const open = currentWaits()
        ?.open()
        .map(({ name, timeout: limit }) => `${name} ${limit}`)
      assert.deepEqual(open, ['outer 1000', 'loose 5000', 'bound 600'])
      await clock.advance('10s')
      await assert.rejects(outer, WaitTimeoutError)
    }))

  it('is given up with the scope if it outlives the wait around it', () =>
    scoped(async (scope) => {
      let inner: Promise<unknown> = Promise.resolve()
      await withTimeout('outer', '5s', () => {
        inner = withTimeout('inner', '5s', () => never)
      })
      scope.abort(new ShutdownError())
      await assert.rejects(inner, { kind: 'shutdown' })
    }))

  it('belongs to nothing with parent null', () =>
    scoped(async (scope) => {
      const work = pending<number>()
      const detached = withTimeout('detached', '5s', () => work.promise, { parent: null })
      scope.abort(new ShutdownError())
      work.resolve(3)
      assert.equal(await detached, 3)
      assert.deepEqual(scope.waits.recorded, [])
    }))

  it('is the parent of a wait in its function, also with parent null', () =>
    scoped(async (scope) => {
      const work = pending<number>()
      const detached = withTimeout('outer', '5s', () => withTimeout('inner', '5s', () => work.promise), {
        parent: null,
      })
      scope.abort(new ShutdownError())
      work.resolve(3)
      assert.equal(await detached, 3)
      assert.deepEqual(scope.waits.recorded, [])
      const expired = withTimeout('outer', '5ms', () => withTimeout('inner', '5s', () => never), { parent: null })
      await assert.rejects(expired, { wait: 'outer' })
    }))

  it('needs no scope', async () => {
    assert.equal(currentWaits(), undefined)
    assert.equal(await withTimeout('value', '5s', async () => 7), 7)
    await assert.rejects(
      withTimeout('user', '5ms', () => never),
      { name: 'WaitTimeoutError', wait: 'user', because: 'timeout' },
    )
  })

  it('runs listeners of the signal and the fallback in the scope of the work', () =>
    scoped(async (scope) => {
      const seen: unknown[] = []
      const wait = withTimeout(
        'query',
        '1s',
        ({ signal }) => {
          signal.addEventListener('abort', () => seen.push(currentWaits()))
          return never
        },
        { fallback: () => seen.push(currentWaits()) },
      )
      await new AsyncLocalStorage().exit(() => clock.advance('1s'))
      await wait
      assert.deepEqual(seen, [scope, scope])
    }))

  it('rejects with an error for invalid durations and parents', async () => {
    await assert.rejects(
      withTimeout('user', Number.NaN, () => 1),
      { name: 'InvalidOptionError', details: { option: 'timeout', given: Number.NaN } },
    )
    await assert.rejects(
      withTimeout('user', '5s', () => 1, { atLeast: -1 }),
      { name: 'InvalidOptionError', details: { option: 'atLeast', given: -1 } },
    )
    const signal = new AbortController().signal as unknown as WaitContext
    await assert.rejects(
      withTimeout('user', '5s', () => 1, { parent: signal }),
      { code: 'PUNCTUAL_INVALID_OPTION', details: { option: 'parent', given: signal } },
    )
  })

  it('keeps the process alive until it ends', () => {
    const url = JSON.stringify(new URL('./with-timeout.ts', import.meta.url).href)
    const run = (code: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '-e', `import { withTimeout } from ${url}\n${code}`], {
        encoding: 'utf8',
        timeout: 60_000,
      })
    assert.equal(
      run("await withTimeout('user', '20ms', () => new Promise(() => {})).catch((error) => console.log(error.wait))"),
      'user\n',
    )
    assert.equal(run("await withTimeout('user', '10m', async () => console.log('done'))"), 'done\n')
  })
})
