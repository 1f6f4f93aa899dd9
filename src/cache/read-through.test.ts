import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { until } from '../../test/process/support/until.ts'
import { ClientDisconnectedError, WaitTimeoutError } from '../resilience/abort-reason.ts'
import { abandonedOperations } from '../resilience/bounded-operation.ts'
import { ManualClock } from '../resilience/manual-clock.ts'
import { currentWaits } from '../resilience/wait-scope.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { type ReadThrough, readThrough } from './read-through.ts'
import type { ReadThroughOptions } from './read-through-options.ts'

interface User {
  readonly id: string
  readonly version: number
}

/** What the source fails with. */
const SOURCE_DOWN = new Error('the source is down')
const isSourceDown = (error: unknown): boolean => error === SOURCE_DOWN

function invalidOption(option: string, given: unknown): object {
  return { code: 'PUNCTUAL_INVALID_OPTION', details: { option, given } }
}

const opened: ReadThrough<string, unknown>[] = []
afterEach(() => {
  for (const cache of opened.splice(0)) cache.close()
})

/** A cache with a manual clock and no jitter, whose loads are recorded and settled by the test. */
function start(options: Partial<ReadThroughOptions<string, User>> = {}) {
  const clock = new ManualClock()
  const calls: {
    key: string
    signal: AbortSignal
    give: (user: User | null) => void
    fail: (error: unknown) => void
  }[] = []
  const cache = readThrough<string, User>('auth:user', {
    load: (key, { signal }) =>
      new Promise<User | null>((give, fail) => {
        calls.push({ key, signal, give, fail })
      }),
    wheel: clock.wheel,
    random: () => 0.5,
    ...options,
  } as ReadThroughOptions<string, User>)
  opened.push(cache as ReadThrough<string, unknown>)
  const call = (index: number) => {
    const found = calls[index]
    assert.ok(found, `load ${index} was not started`)
    return found
  }
  /** Gets a key whose next load returns this version. */
  const fill = async (key: string, version: number): Promise<User | undefined> => {
    const got = cache.get(key)
    await turn()
    calls.at(-1)?.give({ id: key, version })
    return got
  }
  return { cache, clock, calls, call, fill }
}

describe('one load for all', () => {
  test('concurrent misses share one load', async () => {
    const { cache, calls, call } = start()
    const all = Array.from({ length: 50 }, () => cache.get('7'))
    await turn()
    call(0).give({ id: '7', version: 1 })
    for (const user of await Promise.all(all)) assert.deepEqual(user, { id: '7', version: 1 })
    assert.equal(calls.length, 1)
    assert.deepEqual(await cache.get('7'), { id: '7', version: 1 })
    assert.equal(calls.length, 1)
    const { counts, hitRate } = cache.report()
    assert.deepEqual([counts.loads, counts.coalesced, counts.misses, counts.hitsMemory], [1, 49, 50, 1])
    assert.equal(hitRate, 1 / 51)
  })

  test('a failed load is shared, and is followed by a back-off that grows', async () => {
    const { cache, clock, calls, call } = start()
    const all = Array.from({ length: 50 }, () => cache.get('7'))
    await turn()
    call(0).fail(SOURCE_DOWN)
    await Promise.all(all.map((one) => assert.rejects(one, isSourceDown)))
    await assert.rejects(cache.get('7'), isSourceDown)
    assert.equal(calls.length, 1)
    assert.equal(cache.report().counts.backedOff, 1)
    await clock.advance('100ms')
    const again = assert.rejects(cache.get('7'), isSourceDown)
    await turn()
    call(1).fail(SOURCE_DOWN)
    await again
    await clock.advance('100ms')
    await assert.rejects(cache.get('7'), isSourceDown)
    assert.equal(calls.length, 2, 'the second back-off is longer')
    await clock.advance('100ms')
    const last = cache.get('7')
    await turn()
    call(2).give({ id: '7', version: 2 })
    assert.equal((await last)?.version, 2)
  })

  test('each caller keeps its own timeout, and the others still get the value', async () => {
    const { cache, call } = start()
    const patient = cache.get('7')
    const hasty = cache.get('7', { timeout: '20ms' })
    await assert.rejects(hasty, WaitTimeoutError)
    assert.equal(call(0).signal.aborted, false)
    call(0).give({ id: '7', version: 1 })
    assert.equal((await patient)?.version, 1)
  })

  test('twenty callers with 20 ms each start one load, which is cancelled when the last one leaves', async () => {
    const { cache, calls, call } = start()
    const all = Array.from({ length: 20 }, () => cache.get('7', { timeout: '20ms' }))
    await Promise.all(all.map((one) => assert.rejects(one, WaitTimeoutError)))
    await turn()
    assert.equal(calls.length, 1)
    assert.equal(call(0).signal.aborted, true)
    assert.equal(cache.report().counts.loadsAbandoned, 1)
    const next = cache.get('7')
    await turn()
    call(1).give({ id: '7', version: 2 })
    assert.equal((await next)?.version, 2, 'a cancelled load is not a failure of the source')
    call(0).give({ id: '7', version: 1 })
    await turn()
    assert.equal(abandonedOperations().has('cache auth:user'), false)
  })

  test('a caller that comes while a load is being cancelled starts another one', async () => {
    const { cache, call } = start()
    const disconnecting = new AbortController()
    const left = withDeadline('work', '1m', () => cache.get('7'), { signal: disconnecting.signal })
    await turn()
    disconnecting.abort(new ClientDisconnectedError())
    const next = cache.get('7')
    await assert.rejects(left, ClientDisconnectedError)
    await turn()
    call(1).give({ id: '7', version: 2 })
    assert.equal((await next)?.version, 2)
    call(0).give(null)
  })

  test('a load times out, and its error names the cache', async () => {
    const { cache, clock, call } = start({ timeout: '5s' })
    const got = cache.get('7')
    const rejected = assert.rejects(got, { name: 'WaitTimeoutError', wait: 'cache auth:user' })
    await clock.advance('6s')
    await rejected
    assert.equal(call(0).signal.aborted, true)
    assert.equal(cache.report().counts.loadErrors, 1)
    call(0).give(null)
  })

  test('a load belongs to no request: it continues when the request of its first caller ends', async () => {
    let scope: unknown = 'not loaded'
    const { cache, call } = start()
    const inside = withDeadline('work', '10ms', () => cache.get('7')).catch((error: unknown) => error)
    const outside = cache.get('7')
    assert.ok((await inside) instanceof Error)
    call(0).give({ id: '7', version: 1 })
    assert.equal((await outside)?.version, 1)
    const other = readThrough('other', {
      load: (_key: string) => {
        scope = currentWaits()
        return 1
      },
    })
    await withDeadline('work', '1s', async (request) => {
      await other.get('1')
      assert.notEqual(scope, request)
      assert.deepEqual(
        request.waits.recorded.map(({ name, outcome }) => [name, outcome]),
        [['cache other', 'ok']],
      )
    })
    other.close()
  })
})

describe('old values', () => {
  test('past its ttl a value is returned at once, while it is reloaded', async () => {
    const { cache, clock, calls, call, fill } = start({ ttl: '5m' })
    await fill('7', 1)
    await clock.advance('5m')
    assert.equal((await cache.get('7'))?.version, 1)
    assert.equal((await cache.get('7'))?.version, 1)
    await turn()
    assert.equal(calls.length, 2)
    call(1).give({ id: '7', version: 2 })
    await clock.settle()
    assert.equal((await cache.get('7'))?.version, 2)
    assert.equal(cache.report().counts.stale, 2)
  })

  test('later it is loaded first, and returned only instead of an error, as degraded', async () => {
    const { cache, clock, call, fill } = start({ ttl: '5m', grace: '1h' })
    await fill('7', 1)
    await clock.advance('20m')
    await withDeadline('work', '1m', async ({ waits }) => {
      const got = cache.get('7')
      await turn()
      call(1).fail(SOURCE_DOWN)
      assert.equal((await got)?.version, 1)
      assert.equal((await cache.get('7'))?.version, 1)
      assert.equal(waits.count('degraded'), 2)
    })
    assert.equal(cache.report().counts.degraded, 2)
  })

  test('beyond its grace the error is returned', async () => {
    const { cache, clock, call, fill } = start({ ttl: '5m', grace: '1h' })
    await fill('7', 1)
    await clock.advance('66m')
    const got = cache.get('7')
    await turn()
    call(1).fail(SOURCE_DOWN)
    await assert.rejects(got, isSourceDown)
  })

  test('a caller that times out gets the old value within its grace', async () => {
    const { cache, clock, fill, call } = start({ ttl: '5m', grace: '1h' })
    await fill('7', 1)
    await clock.advance('20m')
    await withDeadline('work', '10s', async ({ waits }) => {
      assert.equal((await cache.get('7', { timeout: '20ms' }))?.version, 1)
      assert.equal(waits.count('degraded'), 1)
    })
    call(1).give(null)
  })

  test('answers count as degraded from a failed refresh until one succeeds', async () => {
    const { cache, clock, call, fill } = start({ ttl: '5m' })
    await fill('7', 1)
    await clock.advance('5m')
    await cache.get('7')
    await turn()
    call(1).fail(SOURCE_DOWN)
    await turn()
    await cache.get('7')
    assert.equal(cache.report().counts.degraded, 1)
    await clock.advance('1s')
    await cache.get('7')
    await turn()
    call(2).give({ id: '7', version: 2 })
    await turn()
    assert.equal((await cache.get('7'))?.version, 2)
    assert.equal(cache.report().counts.degraded, 2)
  })

  test('a missing value is remembered for negativeTtl, and never returned instead of an error', async () => {
    const { cache, clock, calls, call } = start({ negativeTtl: '10s' })
    const got = cache.get('7')
    await turn()
    call(0).give(null)
    assert.equal(await got, undefined)
    assert.equal(await cache.get('7'), undefined)
    assert.equal(calls.length, 1)
    await clock.advance('10s')
    const again = cache.get('7')
    await turn()
    call(1).fail(SOURCE_DOWN)
    await assert.rejects(again, isSourceDown)
  })

  test('entries that were written together do not expire together', async () => {
    let draw = 0
    const draws = [0, 0.999]
    const { cache, clock, fill } = start({ ttl: '100s', random: () => draws[draw++ % 2] ?? 0 })
    await fill('1', 1)
    await fill('2', 1)
    await clock.advance('95s')
    await cache.get('1')
    assert.equal(cache.report().counts.stale, 1)
    await cache.get('2')
    assert.equal(cache.report().counts.stale, 1)
  })

  test('a frequently read key is reloaded before it expires', async () => {
    const { cache, clock, calls, call } = start({ ttl: '100s', timeout: '1m' })
    const got = cache.get('7')
    await clock.advance('10s')
    call(0).give({ id: '7', version: 1 })
    await got
    // A load of 10 s, and 1 - e^-0.7 to draw: refreshed in the last 6.9 s.
    await clock.advance('92s')
    await cache.get('7')
    assert.equal(calls.length, 1)
    await clock.advance('2s')
    await cache.get('7')
    await turn()
    assert.equal(calls.length, 2)
    assert.equal(cache.report().counts.refreshes, 1)
    call(1).give(null)
  })
})

describe('invalidation', () => {
  test('an invalidated key is loaded again', async () => {
    const { cache, fill } = start()
    await fill('7', 1)
    await cache.invalidate('7')
    assert.equal((await fill('7', 2))?.version, 2)
  })

  test('a load that started before is not kept, and not shared with later callers', async () => {
    const { cache, call } = start()
    const before = cache.get('7')
    await turn()
    await cache.invalidate('7')
    const after = cache.get('7')
    await turn()
    call(1).give({ id: '7', version: 2 })
    assert.equal((await after)?.version, 2)
    call(0).give({ id: '7', version: 1 })
    assert.equal((await before)?.version, 1)
    assert.equal((await cache.get('7'))?.version, 2)
  })

  test('an invalidated value is not returned instead of an error', async () => {
    const { cache, call, fill, clock } = start()
    await fill('7', 1)
    await clock.advance('20m')
    const got = cache.get('7')
    await turn()
    await cache.invalidate('7')
    call(1).fail(SOURCE_DOWN)
    await assert.rejects(got, isSourceDown)
  })

  test('a tag invalidates values with it, and running loads', async () => {
    const { cache, fill, call, calls } = start({ tags: ({ version }) => [`v${version}`] })
    await fill('1', 1)
    await fill('2', 2)
    const under = cache.get('3')
    await turn()
    await cache.invalidate({ tag: 'v1' })
    call(2).give({ id: '3', version: 1 })
    await under
    assert.equal((await cache.get('2'))?.version, 2)
    assert.equal(calls.length, 3)
    await fill('1', 3)
    await fill('3', 3)
    assert.equal(calls.length, 5)
  })

  test('a tag is rejected if the cache has no tags', async () => {
    const { cache } = start()
    await assert.rejects(cache.invalidate({ tag: 'v1' }), invalidOption('tags', undefined))
  })

  test('a set value is returned at once, and is not replaced by a running load', async () => {
    const { cache, call } = start()
    const before = cache.get('7')
    await turn()
    await cache.set('7', { id: '7', version: 2 })
    call(0).give({ id: '7', version: 1 })
    await before
    assert.equal((await cache.get('7'))?.version, 2)
    await cache.set('7', null)
    assert.equal(await cache.get('7'), undefined)
  })

  test('another cache of the same prefix in this process is invalidated too', async () => {
    const one = start()
    const other = start()
    await one.fill('7', 1)
    await other.fill('7', 1)
    await one.cache.invalidate('7')
    assert.equal((await other.fill('7', 2))?.version, 2)
  })

  test('everything can be invalidated', async () => {
    const { cache, fill } = start()
    await fill('7', 1)
    await cache.invalidateAll()
    assert.equal(cache.report().items, 0)
  })
})

describe('many keys', () => {
  const many = () => {
    const asked: (readonly string[])[] = []
    const cache = readThrough<string, User>('auth:user', {
      loadMany: async (keys) => {
        asked.push(keys)
        return new Map(keys.filter((key) => key !== 'none').map((key) => [key, { id: key, version: 1 }]))
      },
    })
    opened.push(cache as ReadThrough<string, unknown>)
    return { cache, asked }
  }

  test('missing keys are loaded together, in the order of the call', async () => {
    const { cache, asked } = many()
    assert.equal((await cache.get('1'))?.id, '1')
    const users = await cache.getMany(['3', '1', 'none', '2', '3'])
    assert.deepEqual(
      users.map((user) => user?.id),
      ['3', '1', undefined, '2', '3'],
    )
    assert.deepEqual(asked, [['1'], ['3', 'none', '2']])
    await cache.getMany(['1', '2', 'none', '3'])
    assert.equal(asked.length, 2)
    assert.deepEqual(await cache.getMany([]), [])
  })

  test('an error of one key rejects that key only, and starts its back-off', async () => {
    const bad = new Error('no number')
    const isBad = (error: unknown): boolean => error === bad
    const cache = readThrough<string, number>('numbers', {
      loadMany: (keys) => keys.map((key) => (key === 'bad' ? bad : Number(key))),
    })
    await assert.rejects(cache.getMany(['1', 'bad']), isBad)
    assert.equal(await cache.get('1'), 1)
    assert.equal(cache.report().counts.hitsMemory, 1)
    await assert.rejects(cache.get('bad'), isBad)
    cache.close()
  })

  test('a wrong number of values is rejected', async () => {
    const cache = readThrough<string, number>('numbers', { loadMany: () => [1] })
    await assert.rejects(cache.getMany(['1', '2']), {
      code: 'PUNCTUAL_USAGE',
      details: { cache: 'numbers', rule: 'one-value-per-key', keys: 2, values: 1 },
    })
    cache.close()
  })

  test('without `loadMany` each key is loaded by itself', async () => {
    const cache = readThrough<number, number>('numbers', { load: (key) => key * 2 })
    assert.deepEqual(await cache.getMany([1, 2, 3]), [2, 4, 6])
    cache.close()
  })

  test('a batch is cancelled when its callers have left', async () => {
    let batchSignal: AbortSignal | undefined
    const cache = readThrough<string, number>('numbers', {
      loadMany: (_keys, { signal }) => {
        batchSignal = signal
        return new Promise(() => {})
      },
    })
    await assert.rejects(cache.getMany(['1', '2'], { timeout: '20ms' }), WaitTimeoutError)
    await until('the batch to be cancelled', () => batchSignal?.aborted)
    cache.close()
  })

  test('a batch continues for callers that wait for one of its keys', async () => {
    const source = Promise.withResolvers<number>()
    const cache = readThrough<string, number>('numbers', {
      loadMany: async (keys) => {
        const found = await withTimeout('query', '1m', () => source.promise)
        return keys.map(() => found)
      },
    })
    const first = cache.getMany(['1', '2'], { timeout: '30ms' })
    const second = cache.get('1')
    await assert.rejects(first, WaitTimeoutError)
    source.resolve(7)
    assert.equal(await second, 7)
    cache.close()
  })
})

describe('values', () => {
  test('callers share a frozen copy of what the load returned', async () => {
    const row = { id: '7', roles: ['admin'] }
    const cache = readThrough('rows', { load: (_key: string) => row })
    const got = await cache.get('7')
    assert.throws(() => got?.roles.push('owner'), TypeError)
    row.roles.push('owner')
    assert.deepEqual(await cache.get('7'), { id: '7', roles: ['admin'] })
    cache.close()
  })

  test('a value that cannot be frozen is copied for each caller', async () => {
    const cache = readThrough('rows', { load: (_key: string) => ({ at: new Date(0), tags: new Map([['a', [1]]]) }) })
    const first = await cache.get('7')
    first?.at.setFullYear(1)
    first?.tags.get('a')?.push(2)
    assert.deepEqual(await cache.get('7'), { at: new Date(0), tags: new Map([['a', [1]]]) })
    cache.close()
  })

  test('a value that can be neither is rejected with its path', async () => {
    class Money {}
    const cache = readThrough('rows', { load: (_key: string) => ({ prices: [new Money()] }) })
    await assert.rejects(cache.get('7'), {
      code: 'PUNCTUAL_CACHE_VALUE',
      details: { path: '.prices[0]', kind: 'instance', className: 'Money' },
    })
    cache.close()
  })
})

describe('bounds and options', () => {
  test('memory is bounded in entries and in bytes', async () => {
    const few = readThrough('few', { load: (key: number) => key, memory: { items: 10 } })
    for (let key = 0; key < 100; key++) await few.get(key)
    assert.equal(few.report().items, 10)
    const small = readThrough('small', { load: (_key: number) => 'x'.repeat(1_000), memory: { bytes: 50_000 } })
    for (let key = 0; key < 100; key++) await small.get(key)
    assert.ok(small.report().bytes <= 50_000)
    assert.ok(small.report().items > 5)
    few.close()
    small.close()
  })

  test('a ttl of 0 disables the cache: each call loads, and no load is shared', async () => {
    const { cache, calls } = start({ ttl: '0s' })
    const both = [cache.get('7'), cache.get('7')]
    await turn()
    assert.equal(calls.length, 2)
    for (const { give } of calls) give({ id: '7', version: 1 })
    await Promise.all(both)
    assert.equal(cache.report().items, 0)
    assert.equal(cache.report().enabled, false)
  })

  test('an invalid option is rejected by name', () => {
    const load = (key: string) => key
    const redis = { on: () => {}, duplicate: () => ({}) }
    assert.throws(() => readThrough('a.b', { load, ttl: -1 }), invalidOption('ttl', -1))
    assert.throws(() => readThrough('a', { load, staleFor: -1 }), invalidOption('staleFor', -1))
    assert.throws(() => readThrough('a', { load, memory: { items: 0 } }), invalidOption('memory.items', 0))
    assert.throws(() => readThrough('a', {} as never), invalidOption('load', undefined))
    assert.throws(() => readThrough('a', { load, redis }), invalidOption('redis', redis))
  })
})

test('a load that times out is recorded as a timeout of its caller, with the wait it was in', async () => {
  const cache = readThrough<string, User>('slow', {
    load: () => withTimeout('query users', '10s', () => new Promise<User>(() => {})),
    timeout: '20ms',
  })
  opened.push(cache as ReadThrough<string, unknown>)
  await withDeadline('request', '1m', async ({ waits }) => {
    await assert.rejects(cache.get('7'), WaitTimeoutError)
    const timedOut = waits.recorded.filter(({ outcome }) => outcome === 'timed-out').map(({ name }) => name)
    assert.deepEqual(timedOut, ['query users'])
  })
})
