import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, test } from 'node:test'
import { ClientDisconnectedError } from './abort-reason.ts'
import { type Breaker, BreakerOpenError, type BreakerOptions, breaker, FailureWindow } from './breaker.ts'
import { ManualClock } from './manual-clock.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

const never = new Promise<never>(() => {})
const ill = new Error('planted')
const fail = (): Promise<never> => Promise.reject(ill)

function make(options: Partial<BreakerOptions> = {}): { clock: ManualClock; partner: Breaker } {
  const clock = new ManualClock()
  const partner = breaker('partner', {
    trip: { kind: 'consecutive', failures: 2 },
    random: () => 0,
    wheel: clock.wheel,
    ...options,
  })
  return { clock, partner }
}

async function trip(partner: Breaker): Promise<void> {
  for (let count = 0; count < 2; count++) await assert.rejects(partner.run(fail), ill)
  assert.equal(partner.state, 'open')
}

describe('a breaker', () => {
  it('makes all calls while it is closed', async () => {
    const { partner } = make()
    assert.equal(await partner.run(() => 1), 1)
    await assert.rejects(partner.run(fail), ill)
    assert.equal(await partner.run(async () => 2), 2)
    await assert.rejects(partner.run(fail), ill)
    assert.equal(partner.state, 'closed')
  })

  it('counts an error as a failure if the counts option throws', async () => {
    const { clock, partner } = make({
      counts: (error) => (error as { readonly response: { readonly status: number } }).response.status >= 500,
    })
    const warned = once(process, 'warning')
    await trip(partner)
    const [warning] = await warned
    assert.equal(warning.code, 'PUNCTUAL_COUNTS_FAILED')
    await clock.advance('10s')
    await assert.rejects(partner.run(fail), ill)
    await clock.advance('60s')
    assert.equal(await partner.run(() => 1), 1)
    assert.equal(partner.state, 'closed')
  })

  it('fails at once while it is open, with the cause and the time of the next probe', async () => {
    const { clock, partner } = make()
    await trip(partner)
    await clock.advance('4s')
    await assert.rejects(
      partner.run(() => assert.fail('called')),
      (error) => {
        assert.ok(error instanceof BreakerOpenError)
        assert.deepEqual([error.breaker, error.retryAfter, error.cause], ['partner', 6_000, ill])
        assert.equal(error.message, 'the breaker "partner" is open after repeated failures; try again in 6.0 s')
        return true
      },
    )
  })

  it('lets one call probe while it is half-open, and fails the others at once', async () => {
    const { clock, partner } = make()
    await trip(partner)
    await clock.advance('10s')
    const { promise, resolve } = Promise.withResolvers<string>()
    const probe = partner.run(() => promise)
    assert.equal(partner.state, 'half-open')
    await assert.rejects(
      partner.run(() => assert.fail('called')),
      { name: 'BreakerOpenError', retryAfter: 5_000 },
    )
    resolve('well')
    assert.equal(await probe, 'well')
    assert.equal(partner.state, 'closed')
  })

  it('opens for twice as long after a failed probe, up to the maximum', async () => {
    const { clock, partner } = make({ maxOpenFor: '30s' })
    await trip(partner)
    const lengths: number[] = []
    for (const wait of [10_000, 20_000, 30_000]) {
      await clock.advance(wait)
      await assert.rejects(partner.run(fail), ill)
      const refused = await partner.run(() => 1).catch((error: BreakerOpenError) => error)
      lengths.push((refused as BreakerOpenError).retryAfter)
    }
    assert.deepEqual(lengths, [20_000, 30_000, 30_000])
  })

  it('counts a probe as failed when it times out', async () => {
    const { clock, partner } = make({ probeTimeout: '1s' })
    await trip(partner)
    await clock.advance('10s')
    const probe = withDeadline('work', '1m', () => partner.run(() => never), { wheel: clock.wheel })
    const checked = assert.rejects(probe, { name: 'WaitTimeoutError', wait: 'partner: probe', timeout: 1_000 })
    await clock.advance('1s')
    await checked
    assert.equal(partner.state, 'open')
  })

  it('closes when all probes have succeeded, and makes no more of them', async () => {
    const { clock, partner } = make({ probes: 2 })
    await trip(partner)
    await clock.advance('10s')
    assert.equal(await partner.run(() => 1), 1)
    assert.equal(partner.state, 'half-open')
    const { promise, resolve } = Promise.withResolvers<number>()
    const second = partner.run(() => promise)
    await assert.rejects(
      partner.run(() => 3),
      BreakerOpenError,
    )
    resolve(2)
    assert.equal(await second, 2)
    assert.equal(partner.state, 'closed')
  })

  it('does not count a probe whose client disconnects; the next call probes', async () => {
    const { clock, partner } = make()
    await trip(partner)
    await clock.advance('10s')
    const gone = new ClientDisconnectedError()
    const probe = withDeadline(
      'work',
      '1m',
      (scope) => {
        const call = partner.run(() => never)
        scope.abort(gone)
        return call
      },
      { wheel: clock.wheel },
    )
    await assert.rejects(probe, gone)
    assert.equal(partner.state, 'half-open')
    assert.equal(await partner.run(() => 1), 1)
    assert.equal(partner.state, 'closed')
  })

  it('counts a call that never settles when the wait around it times out', async () => {
    const { clock, partner } = make()
    const calls = withDeadline(
      'work',
      '1m',
      async () => {
        for (let count = 0; count < 2; count++) {
          await assert.rejects(
            withTimeout('call', '1s', () => partner.run(() => never)),
            { wait: 'call' },
          )
        }
      },
      { wheel: clock.wheel },
    )
    await clock.advance('2s')
    await calls
    assert.equal(partner.state, 'open')
  })

  it('opens only for errors that count', async () => {
    const { partner } = make({ counts: (error) => (error as { status?: number }).status !== 404 })
    const missing = Object.assign(new Error('missing'), { status: 404 })
    for (let count = 0; count < 9; count++)
      await assert.rejects(
        partner.run(() => Promise.reject(missing)),
        missing,
      )
    assert.equal(partner.state, 'closed')
    const { partner: byDefault } = make()
    for (let count = 0; count < 9; count++) {
      await assert.rejects(
        byDefault.run(() => Promise.reject(new ClientDisconnectedError())),
        ClientDisconnectedError,
      )
    }
    assert.equal(byDefault.state, 'closed')
  })

  it('does not count the result of a call that started in an earlier state', async () => {
    const { clock, partner } = make()
    const old = Promise.withResolvers<number>()
    const late = partner.run(() => old.promise)
    await trip(partner)
    await clock.advance('10s')
    const probe = Promise.withResolvers<number>()
    const probing = partner.run(() => probe.promise)
    old.resolve(1)
    assert.equal(await late, 1)
    assert.equal(partner.state, 'half-open')
    probe.resolve(2)
    await probing
  })

  it('opens by the share of failures in a window, if there are enough calls', async () => {
    const { clock, partner } = make({ trip: { kind: 'share', share: 0.5, window: '10s', atLeast: 4 } })
    await assert.rejects(partner.run(fail), ill)
    await assert.rejects(partner.run(fail), ill)
    await clock.advance('20s')
    assert.equal(await partner.run(() => 1), 1)
    assert.equal(await partner.run(() => 1), 1)
    await assert.rejects(partner.run(fail), ill)
    assert.equal(partner.state, 'closed')
    await assert.rejects(partner.run(fail), ill)
    assert.equal(partner.state, 'open')
  })

  it('records refused calls', async () => {
    const { clock, partner } = make()
    await trip(partner)
    await withDeadline(
      'work',
      '1m',
      async (scope) => {
        await assert.rejects(
          partner.run(() => 1),
          BreakerOpenError,
        )
        assert.deepEqual(
          scope.waits.recorded.map(({ name, outcome }) => [name, outcome]),
          [['partner', 'refused']],
        )
      },
      { wheel: clock.wheel },
    )
  })

  it('rejects invalid options', () => {
    for (const [wrong, option, given] of [
      [{ trip: { kind: 'consecutive', failures: 0 } }, 'trip.failures', 0],
      [{ trip: { kind: 'share', share: 2, window: '10s', atLeast: 1 } }, 'trip.share', 2],
      [{ trip: { kind: 'share', share: 0.5, window: 'unbounded', atLeast: 1 } }, 'trip.window', 'unbounded'],
      [{ probes: 0 }, 'probes', 0],
      [{ probeTimeout: 'unbounded' }, 'probeTimeout', 'unbounded'],
      [{ openFor: -1 }, 'openFor', -1],
    ] as const satisfies [Partial<BreakerOptions>, string, unknown][]) {
      assert.throws(() => make(wrong), { code: 'PUNCTUAL_INVALID_OPTION', details: { option, given } })
    }
  })
})

test('a window counts what is within its length, and forgets it piece by piece', () => {
  const window = new FailureWindow(1_000)
  window.count(true, 0)
  window.count(false, 450)
  window.count(true, 950)
  assert.deepEqual(window.read(999), { calls: 3, share: 2 / 3 })
  assert.deepEqual(window.read(1_000), { calls: 2, share: 1 / 2 })
  assert.deepEqual(window.read(1_500), { calls: 1, share: 1 })
  assert.deepEqual(window.read(90_000), { calls: 0, share: 0 })
  window.count(true, 90_000)
  window.clear()
  assert.equal(window.read(90_000).calls, 0)
})
