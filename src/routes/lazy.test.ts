import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, it } from 'node:test'
import { WaitTimeoutError } from '../resilience/abort-reason.ts'
import { lazy } from './lazy.ts'

describe('lazy', () => {
  it('loads on the first call, once for all callers', async () => {
    let loads = 0
    const client = lazy('lazy', async () => ({ load: ++loads }))
    assert.equal(loads, 0)
    const [one, two] = await Promise.all([client(), client()])
    assert.equal(one, two)
    assert.equal(await client(), one)
    assert.equal(loads, 1)
  })

  it('rejects with the error of a failed load until the retry is due', async () => {
    let loads = 0
    const load = (): never => {
      loads++
      throw new Error('first')
    }
    const client = lazy('lazy', load, { retryDelay: '1h' })
    await assert.rejects(client(), /first/)
    await assert.rejects(client(), /first/)
    assert.equal(loads, 1)
  })

  it('retries a load that has failed', async () => {
    let loads = 0
    const client = lazy(
      'lazy',
      () => {
        if (++loads === 1) throw new Error('first')
        return 'loaded'
      },
      { retryDelay: '1ms' },
    )
    await assert.rejects(client(), /first/)
    for (;;) {
      const loaded = await client().catch(() => null)
      if (loaded !== null) break
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    assert.equal(loads, 2)
  })

  it('times out a caller, and continues the load for the others', async () => {
    const load = Promise.withResolvers<string>()
    const client = lazy('heavy client', () => load.promise, { timeout: '5ms' })
    await assert.rejects(client(), (error: unknown) => {
      assert.ok(error instanceof WaitTimeoutError)
      assert.equal(error.wait, 'heavy client')
      return true
    })
    load.resolve('late')
    assert.equal(await client(), 'late')
  })

  it('loads outside of the request that came first', async () => {
    const requests = new AsyncLocalStorage<string>()
    const seen = lazy('lazy', () => requests.getStore() ?? 'outside')
    assert.equal(await requests.run('request', () => seen()), 'outside')
  })
})
