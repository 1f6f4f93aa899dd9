import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type DeferralEvent, type DeferralOptions, readDeferralOptions } from './deferral-options.ts'
import { DeferredModule } from './deferred-module.ts'
import { RoutesFailedError } from './routes-errors.ts'

function deferred<T>(load: () => T | Promise<T>, options: DeferralOptions = {}) {
  const events: DeferralEvent[] = []
  const settings = readDeferralOptions('/reports', load, { onEvent: (event) => events.push(event), ...options })
  return { module: new DeferredModule(settings, load), events }
}

describe('a deferred module', () => {
  it('is loaded once for all requests', async () => {
    let loads = 0
    const { module } = deferred(() => ++loads)
    const wanted = [module.request(), module.request()]
    await module.load()
    assert.deepEqual(await Promise.all([...wanted, module.request()]), [1, 1, 1])
    await module.load()
    assert.equal(loads, 1)
    assert.equal(module.report().state, 'loaded')
  })

  it('that throws fails the waiting requests with the reason, and is not due again at once', async () => {
    const { module, events } = deferred(
      () => {
        throw new Error('no database')
      },
      { retryDelay: '1h', maxRetryDelay: '1h' },
    )
    const wanted = module.request()
    await Promise.all([
      module.load(),
      assert.rejects(wanted, (error: unknown) => {
        assert.ok(error instanceof RoutesFailedError)
        assert.deepEqual(error.details, { prefix: '/reports', attempts: 1 })
        assert.equal((error.cause as Error).message, 'no database')
        assert.ok(error.retryAfter > 3_500_000)
        return true
      }),
    ])
    assert.equal(module.isDue, false)
    await assert.rejects(module.request(), RoutesFailedError)
    assert.deepEqual(
      events.map(({ type, severity }) => [type, severity]),
      [['failed', 'error']],
    )
    const { state, error, failures } = module.report()
    assert.deepEqual({ state, error, failures }, { state: 'failed', error: 'Error: no database', failures: 1 })
  })

  it('that has failed is retried after its delay', async () => {
    let loads = 0
    const { module, events } = deferred(
      () => {
        if (++loads < 3) throw new Error('not yet')
        return 'here'
      },
      { retryDelay: '1ms', maxRetryDelay: '2ms' },
    )
    const held = setInterval(() => {}, 1_000)
    for (let attempt = 1; attempt <= 3; attempt++) {
      const due = new Promise<void>((resolve) => {
        module.onRequested = resolve
      })
      await module.load()
      if (attempt < 3) await due
    }
    clearInterval(held)
    assert.equal(await module.request(), 'here')
    const attempts = events.map(({ type, details }) => [type, details.attempts])
    assert.deepEqual(attempts, [
      ['failed', 1],
      ['failed', 2],
      ['loaded', 3],
    ])
  })

  it('continues loading when a request is aborted', async () => {
    let finish = (_: string): void => {}
    const { module } = deferred(() => new Promise<string>((resolve) => (finish = resolve)))
    const patience = new AbortController()
    const wanted = module.request(patience.signal)
    const loaded = module.load()
    patience.abort(new Error('gone'))
    await assert.rejects(wanted, /gone/)
    assert.equal(module.isLoading, true)
    finish('late')
    await loaded
    assert.equal(module.routes, 'late')
  })

  it('that exceeds loadTimeout is reported as slow once', async () => {
    let finish = (): void => {}
    const slow = Promise.withResolvers<DeferralEvent>()
    const { module } = deferred(() => new Promise<void>((resolve) => (finish = resolve)), {
      loadTimeout: '5ms',
      onEvent: slow.resolve,
    })
    const loaded = module.load()
    const held = setInterval(() => {}, 1_000)
    const { type, details } = await slow.promise
    clearInterval(held)
    assert.deepEqual([type, details], ['slow', { tookMs: 5 }])
    finish()
    await loaded
  })
})

describe('the options of deferred routes', () => {
  it('are rejected if invalid, with the name of the option', () => {
    const load = (): object => ({})
    const refused = (option: string, given: unknown, read: () => unknown): void =>
      assert.throws(read, { name: 'InvalidOptionError', details: { option, given } })
    for (const prefix of ['reports', '/reports/', '']) {
      refused('prefix', prefix, () => readDeferralOptions(prefix, load, {}))
    }
    refused('load', undefined, () => readDeferralOptions('/reports', undefined, {}))
    refused('requestTimeout', 0, () => readDeferralOptions('/reports', load, { requestTimeout: 0 }))
    refused('loadTimeout', '5', () => readDeferralOptions('/reports', load, { loadTimeout: '5' as '5s' }))
    refused('retryDelay', '5s', () => readDeferralOptions('/reports', load, { retryDelay: '5s', maxRetryDelay: '1s' }))
  })
})
