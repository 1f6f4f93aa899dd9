import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { afterEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { currentOperation, withQueryTimeout } from '../database/query-timeout.ts'
import { ClientDisconnectedError, WaitTimeoutError } from '../resilience/abort-reason.ts'
import { ManualClock } from '../resilience/manual-clock.ts'
import type { WaitContext } from '../resilience/wait-node.ts'
import { currentWaits, type WaitScope } from '../resilience/wait-scope.ts'
import { withDeadline } from '../resilience/with-deadline.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { type Batch, type BatchOptions, batch } from './batch.ts'

const clock = new ManualClock(1_000)
afterEach(() => assert.equal(clock.wheel.size, 0, 'timers are left'))

/** Stands in for a request; its clock does not advance by itself. */
function request<Value>(job: (scope: WaitScope) => Promise<Value>, limit = 30_000): Promise<Value> {
  return withDeadline('request', limit, job, { wheel: clock.wheel })
}

/** A batch that doubles its keys, and the keys of each load. */
function doubling(options?: BatchOptions<number>): { double: Batch<number, number>; loads: (readonly number[])[] } {
  const loads: (readonly number[])[] = []
  const load = async (keys: readonly number[]): Promise<readonly number[]> => {
    loads.push(keys)
    await null
    return keys.map((key) => 2 * key)
  }
  return { double: batch('double', load, options), loads }
}

/** A batch whose loads end when the test ends them. */
function held(options?: BatchOptions<string>) {
  const loads: { keys: readonly string[]; wait: WaitContext; give: () => void; fail: (error: Error) => void }[] = []
  const load = (keys: readonly string[], wait: WaitContext): Promise<readonly string[]> => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>()
    loads.push({ keys, wait, give: () => resolve(keys.map((key) => key.toUpperCase())), fail: reject })
    return promise
  }
  return { upper: batch('upper', load, options), loads }
}

/** Resolves when no microtask or tick is left. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const kinds = (results: readonly PromiseSettledResult<unknown>[]): unknown[] =>
  results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason))

describe('calls in one turn', () => {
  it('share one load, get their own values, and load a repeated key once', () =>
    request(async () => {
      const { double, loads } = doubling()
      assert.deepEqual(await Promise.all([3, 1, 3, 2].map(double)), [6, 2, 6, 4])
      assert.deepEqual(loads, [[3, 1, 2]])
    }))

  it('include calls after any number of awaits of settled promises', () =>
    request(async () => {
      const { double, loads } = doubling()
      const later = async (key: number, awaits: number): Promise<number> => {
        for (let left = awaits; left > 0; left--) await Promise.resolve()
        return double(key)
      }
      const ticked = new Promise((resolve) => process.nextTick(resolve)).then(() => double(1_000))
      assert.deepEqual(
        await Promise.all([later(0, 0), later(1, 1), later(10, 10), later(100, 100), ticked]),
        [0, 2, 20, 200, 2_000],
      )
      assert.equal(loads.length, 1)
    }))

  it('make one load for each level of dependent keys', () =>
    request(async () => {
      const { double, loads } = doubling({ cache: false })
      const twice = async (key: number): Promise<number> => double(await double(key))
      assert.deepEqual(await Promise.all([1, 2, 3].map(twice)), [4, 8, 12])
      assert.deepEqual(loads, [
        [1, 2, 3],
        [2, 4, 6],
      ])
    }))

  it('do not share a load with calls in the next turn', () =>
    request(async () => {
      const { double, loads } = doubling()
      const first = double(1)
      await turn()
      await Promise.all([first, double(2)])
      assert.deepEqual(loads, [[1], [2]])
    }))

  it('are split above `max` into loads in sequence, and a failing load fails its own keys only', () =>
    request(async () => {
      let inWork = 0
      const loads: (readonly number[])[] = []
      const load = async (keys: readonly number[]): Promise<readonly number[]> => {
        assert.equal(++inWork, 1)
        loads.push(keys)
        await turn()
        inWork--
        if (keys.includes(4)) throw new Error('four')
        return keys
      }
      const same = batch('same', load, { max: 2 })
      const results = await Promise.allSettled([1, 2, 3, 4, 5].map(same))
      assert.deepEqual(loads, [[1, 2], [3, 4], [5]])
      assert.deepEqual(kinds(results), [1, 2, new Error('four'), new Error('four'), 5])
    }))

  it('are loaded separately for each withQueryTimeout', () =>
    request(async () => {
      const loads: unknown[] = []
      const same = batch('same', (keys: readonly number[]) => {
        loads.push([keys, currentOperation()?.name])
        return keys
      })
      await Promise.all([same(1), withQueryTimeout('look-up', '5s', () => Promise.all([same(2), same(3)])), same(4)])
      assert.deepEqual(loads, [
        [[1, 4], undefined],
        [[2, 3], 'look-up'],
      ])
    }))

  it('share one load per withQueryTimeout when operations alternate', () =>
    request(async () => {
      const { double, loads } = doubling()
      const inHint = withQueryTimeout('hint', '5s', () => AsyncLocalStorage.snapshot())
      const keys = [1, 2, 3, 4, 5, 6]
      await Promise.all(keys.map((key) => (key % 2 === 0 ? inHint(double, key) : double(key))))
      assert.deepEqual(loads, [
        [1, 3, 5],
        [2, 4, 6],
      ])
    }))

  it('load the same key once per withQueryTimeout, so that one timeout does not fail another', () =>
    request(async () => {
      let loads = 0
      const same = batch('same', async (keys: readonly number[]) => {
        loads++
        await turn()
        if (currentOperation()?.name === 'hint') throw new RangeError('no time left')
        return keys
      })
      const hint = (): Promise<number> => withQueryTimeout('hint', '5s', () => same(1))
      assert.deepEqual(kinds(await Promise.allSettled([hint(), same(1), hint()])), [
        new RangeError('no time left'),
        1,
        new RangeError('no time left'),
      ])
      assert.equal(loads, 3)
      // Loaded values are shared by all operations.
      assert.deepEqual(await Promise.all([same(1), hint()]), [1, 1])
      assert.equal(loads, 3)
    }))
})

describe('loaded values', () => {
  it('are kept until the request ends', async () => {
    const { double, loads } = doubling()
    for (const _ of [1, 2]) {
      await request(async () => {
        await double(1)
        await turn()
        await Promise.all([double(1), double(2)])
      })
    }
    assert.deepEqual(loads, [[1], [2], [1], [2]])
  })

  it('are kept for the whole request, including a withDeadline inside it', () =>
    request(async () => {
      const { double, loads } = doubling()
      await withDeadline('part', '1s', () => Promise.all([1, 2].map(double)))
      await Promise.all([1, 2, 3].map(double))
      assert.deepEqual(loads, [[1, 2], [3]])
    }))

  it('are dropped by clear: one key, or all of them', () =>
    request(async () => {
      const { double, loads } = doubling()
      await Promise.all([1, 2, 3].map(double))
      double.clear(2)
      await Promise.all([1, 2, 3].map(double))
      double.clear()
      await Promise.all([1, 2].map(double))
      assert.deepEqual(loads, [[1, 2, 3], [2], [1, 2]])
    }))

  it('come from a load that starts after clear', () =>
    request(async () => {
      const { upper, loads } = held()
      const early = upper('a')
      await turn()
      upper.clear('a')
      const late = upper('a')
      await turn()
      assert.equal(loads.length, 2)
      const old = new Error('old')
      loads[0]?.fail(old)
      await assert.rejects(early, old)
      // The failure of the old load does not drop the new one.
      assert.equal(upper('a'), late)
      loads[1]?.give()
      assert.equal(await late, 'A')
    }))

  it('are not kept with `cache: false`', () =>
    request(async () => {
      const { double, loads } = doubling({ cache: false })
      await double(1)
      await double(1)
      assert.deepEqual(loads, [[1], [1]])
    }))

  it('are limited in number: the oldest are dropped', () =>
    request(async () => {
      const { double, loads } = doubling({ max: 1_000_000 })
      await Promise.all(Array.from({ length: 10_001 }, (_, key) => double(key)))
      await Promise.all([double(10_000), double(1), double(0)])
      assert.deepEqual(loads[1], [0])
    }))
})

describe('requests', () => {
  it('share nothing, even in the same turn', async () => {
    const { double, loads } = doubling()
    await Promise.all([
      request(() => Promise.all([1, 2].map(double))),
      request(() => Promise.all([2, 3].map(double))),
      request(() => double(1)),
    ])
    assert.deepEqual(loads, [[1, 2], [2, 3], [1]])
  })

  it('do not affect each other: giving up one leaves the load of the other running', async () => {
    const { upper, loads } = held()
    const gone = new ClientDisconnectedError()
    const left = request(async (scope) => {
      const promise = upper('a')
      await turn()
      scope.abort(gone)
      return promise
    })
    const stays = request(() => upper('a'))
    await assert.rejects(left, gone)
    assert.equal(loads[0]?.wait.signal.aborted, true)
    loads[1]?.give()
    loads[0]?.give()
    assert.equal(await stays, 'A')
  })

  it('are optional: outside of them each turn loads for itself, and nothing is kept', async () => {
    const { double, loads } = doubling()
    assert.equal(currentWaits(), undefined)
    assert.deepEqual(await Promise.all([1, 2, 1].map(double)), [2, 4, 2])
    assert.equal(await double(1), 2)
    double.clear()
    double.clear(1)
    assert.deepEqual(loads, [[1, 2], [1]])
  })
})

describe('errors', () => {
  it('in place of a value reject that key only, and are kept like a value', () =>
    request(async () => {
      let loads = 0
      const load = async (keys: readonly number[]): Promise<(number | Error)[]> => {
        loads++
        return keys.map((key) => (key % 2 === 0 ? key : new RangeError(`${key} is odd`)))
      }
      const even = batch('even', load)
      for (const _ of [1, 2]) {
        const results = await Promise.allSettled([1, 2, 3].map(even))
        assert.deepEqual(kinds(results), [new RangeError('1 is odd'), 2, new RangeError('3 is odd')])
      }
      assert.equal(loads, 1)
    }))

  it('of a load reject all its keys, and the next call retries', () =>
    request(async () => {
      let loads = 0
      const same = batch('same', (keys: readonly number[]): readonly number[] | Promise<readonly number[]> => {
        loads++
        if (loads === 1) throw new Error('thrown')
        return loads === 2 ? Promise.reject(new Error('rejected')) : keys
      })
      assert.deepEqual(kinds(await Promise.allSettled([1, 2].map(same))), [new Error('thrown'), new Error('thrown')])
      assert.deepEqual(kinds(await Promise.allSettled([1, 2].map(same))), [
        new Error('rejected'),
        new Error('rejected'),
      ])
      assert.deepEqual(await Promise.all([1, 2].map(same)), [1, 2])
    }))

  it('report a result with a different number of values than keys', () =>
    request(async () => {
      const short = batch('short', (keys: readonly number[]) => keys.slice(1))
      await assert.rejects(Promise.all([1, 2].map(short)), {
        code: 'PUNCTUAL_BATCH_RESULT',
        details: { batch: 'short', problem: 'count', keys: 2, values: 1 },
      })
      const none = batch('none', (() => undefined) as unknown as (keys: readonly number[]) => readonly number[])
      await assert.rejects(none(1), {
        code: 'PUNCTUAL_BATCH_RESULT',
        details: { batch: 'none', problem: 'type', keys: 1, values: null },
      })
    }))

  it('report a Map whose keys have another type than the requested keys', () =>
    request(async () => {
      const byId = batch(
        'by id',
        (keys: readonly number[]) => new Map(keys.map((key) => [String(key), key])) as unknown as Map<number, number>,
      )
      await assert.rejects(byId(7), {
        code: 'PUNCTUAL_BATCH_RESULT',
        details: { batch: 'by id', problem: 'keys', keys: 1, values: 1 },
      })
    }))

  it('in options are thrown when the batch is created', () => {
    const load = async (keys: readonly number[]): Promise<readonly number[]> => keys
    assert.throws(() => batch('x', load, { max: 0 }), {
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option: 'max', given: 0 },
    })
    assert.throws(() => batch('x', load, { timeout: 'soon' as '1s' }), {
      code: 'PUNCTUAL_INVALID_OPTION',
      details: { option: 'timeout', given: 'soon' },
    })
  })
})

describe('a Map', () => {
  const rows = new Map([
    ['a', 1],
    ['b', 2],
  ])

  it('may lack keys: they get undefined, or the result of `missing`', () =>
    request(async () => {
      const plain: Batch<string, number | undefined> = batch('plain', async (_: readonly string[]) => rows)
      assert.deepEqual(await Promise.all(['b', 'x', 'a'].map(plain)), [2, undefined, 1])
      const full: Batch<string, number> = batch('full', async (_: readonly string[]) => rows, {
        missing: (key) => key.length,
      })
      assert.deepEqual(await Promise.all(['b', 'xyz', 'a'].map(full)), [2, 3, 1])
      const empty: Batch<string, number[]> = batch(
        'empty',
        async (_: readonly string[]) => new Map<string, number[]>(),
        {
          missing: () => [],
        },
      )
      assert.deepEqual(await empty('x'), [])
    }))

  it('may have objects as keys, compared by `keyOf`', () =>
    request(async () => {
      interface Place {
        readonly row: number
        readonly seat: string
      }
      const loads: (readonly Place[])[] = []
      const load = async (keys: readonly Place[]): Promise<Map<Place, string>> => {
        loads.push(keys)
        return new Map(keys.map(({ row, seat }) => [{ seat, row }, `${row}${seat}`]))
      }
      const who = batch('who', load, { keyOf: ({ row, seat }) => `${row} ${seat}` })
      const [one, other, same] = [
        { row: 1, seat: 'a' },
        { row: 2, seat: 'b' },
        { row: 1, seat: 'a' },
      ] as const
      assert.deepEqual(await Promise.all([one, other, same].map(who)), ['1a', '2b', '1a'])
      assert.equal(await who({ seat: 'b', row: 2 }), '2b')
      assert.deepEqual(loads, [[one, other]])
      who.clear({ row: 1, seat: 'a' })
      await who(one)
      assert.equal(loads.length, 2)
    }))
})

describe('a load', () => {
  it('is a named wait of the request, with its own timeout', () =>
    request(async (scope) => {
      const { upper, loads } = held({ timeout: '2s' })
      const results = Promise.allSettled(['a', 'b'].map(upper))
      await turn()
      const [record] = scope.waits.recorded
      assert.deepEqual([record?.name, record?.timeout, record?.outcome], ['upper', 2_000, null])
      await clock.advance('2s')
      const [first, second] = await results
      assert.equal(first?.status, 'rejected')
      assert.ok(first.reason instanceof WaitTimeoutError)
      assert.deepEqual([first.reason.wait, first.reason.because], ['upper', 'timeout'])
      assert.equal(second?.status === 'rejected' && second.reason, first.reason)
      assert.equal(loads[0]?.wait.signal.reason, first.reason)
      assert.equal(scope.waits.count('timed-out'), 1)
      loads[0]?.give()
      await turn()
    }))

  it('ends by the deadline of the wait around the call', () =>
    request(async (scope) => {
      const { upper, loads } = held()
      const result = withTimeout('page', '1s', () => Promise.all(['a', 'b'].map(upper)))
      await turn()
      assert.equal(loads[0]?.wait.remaining, 1_000)
      const refused = assert.rejects(result, WaitTimeoutError)
      await clock.advance('1s')
      await refused
      assert.equal(loads[0]?.wait.signal.aborted, true)
      assert.deepEqual(
        scope.waits.recorded.map(({ name, outcome }) => [name, outcome]),
        [
          ['page', 'timed-out'],
          ['upper', 'timed-out'],
        ],
      )
      loads[0]?.give()
      await turn()
    }))

  it('with several callers ends by their latest deadline', () =>
    request(async () => {
      const { upper, loads } = held()
      const hasty = assert.rejects(
        withTimeout('hasty', '1s', () => upper('a')),
        WaitTimeoutError,
      )
      const calm = withTimeout('calm', '3s', () => upper('b'))
      await turn()
      assert.deepEqual(loads[0]?.keys, ['a', 'b'])
      assert.equal(loads[0]?.wait.remaining, 3_000)
      await clock.advance('1s')
      await hasty
      assert.equal(loads[0]?.wait.signal.aborted, false)
      loads[0]?.give()
      assert.equal(await calm, 'B')
    }))

  it('with several callers is given up when all of them are', () =>
    request(async () => {
      const { upper, loads } = held()
      const [one, other] = [new AbortController(), new AbortController()]
      const gone = new ClientDisconnectedError()
      const both = Promise.allSettled([
        withTimeout('one', '5s', () => upper('a'), { signal: one.signal }),
        withTimeout('other', '5s', () => upper('b'), { signal: other.signal }),
      ])
      await turn()
      one.abort(gone)
      assert.equal(loads[0]?.wait.signal.aborted, false)
      other.abort(gone)
      assert.equal(loads[0]?.wait.signal.reason, gone)
      assert.deepEqual(kinds(await both), [gone, gone])
      loads[0]?.give()
      await turn()
    }))

  it('that ended with its first callers starts again for a later caller that still waits', () =>
    request(async () => {
      const { upper, loads } = held()
      const hasty = assert.rejects(
        withTimeout('hasty', '1s', () => upper('a')),
        WaitTimeoutError,
      )
      await turn()
      const calm = upper('a')
      await turn()
      assert.equal(loads.length, 1)
      await clock.advance('1s')
      await hasty
      await turn()
      assert.equal(loads.length, 2)
      loads[0]?.give()
      loads[1]?.give()
      assert.equal(await calm, 'A')
    }))

  it('that fails is not repeated for a later caller', () =>
    request(async () => {
      const { upper, loads } = held()
      const down = new Error('down')
      const first = assert.rejects(
        withTimeout('first', '1s', () => upper('a')),
        down,
      )
      await turn()
      const later = assert.rejects(upper('a'), down)
      loads[0]?.fail(down)
      await Promise.all([first, later])
      assert.equal(loads.length, 1)
    }))

  it('does not start for a request that has been given up', async () => {
    const { upper, loads } = held()
    await request(async (scope) => {
      const result = upper('a')
      scope.abort(new ClientDisconnectedError())
      await assert.rejects(result, ClientDisconnectedError)
      assert.deepEqual(
        scope.waits.recorded.map(({ name, outcome }) => [name, outcome]),
        [['upper', 'refused']],
      )
    }).catch(() => {})
    assert.equal(loads.length, 0)
  })

  it('started by another load belongs to the same request and does not wait for itself', () =>
    request(async (scope) => {
      const { double, loads } = doubling()
      const both = batch('both', async (keys: readonly number[]) => Promise.all(keys.map(double)))
      const chain: Batch<number, number> = batch('chain', async (keys: readonly number[]) =>
        Promise.all(keys.map(async (key) => (key === 0 ? 0 : 1 + (await chain(key - 1))))),
      )
      assert.deepEqual(await Promise.all([both(1), both(2), chain(3)]), [2, 4, 3])
      assert.deepEqual(loads, [[1, 2]])
      assert.equal(scope.waits.recorded.filter(({ name }) => name === 'chain').length, 4)
    }))
})

it('a batch works with the real clock and timers', async () => {
  const late = batch('late', async (keys: readonly number[]) => {
    await sleep(5)
    return keys
  })
  assert.deepEqual(await withDeadline('work', '30s', () => Promise.all([1, 2].map(late))), [1, 2])
})
