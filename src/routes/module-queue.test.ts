import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readDeferralOptions } from './deferral-options.ts'
import { DeferredModule } from './deferred-module.ts'
import { ModuleQueue } from './module-queue.ts'

/** A queue with a module for each name, and the order in which they were loaded. */
function queueOf(names: readonly string[], load: (name: string) => unknown = () => {}) {
  const order: string[] = []
  const settled = Promise.withResolvers<void>()
  const queue = new ModuleQueue(settled.resolve)
  const modules = new Map(
    names.map((name) => {
      const begin = (): unknown => {
        order.push(name)
        return load(name)
      }
      const settings = readDeferralOptions(`/${name}`, begin, {
        onEvent: () => {},
        retryDelay: '1h',
        maxRetryDelay: '1h',
      })
      return [name, new DeferredModule<unknown>(settings, begin)]
    }),
  )
  for (const module of modules.values()) queue.add(module)
  const want = (name: string): Promise<unknown> => (modules.get(name) as DeferredModule).request()
  return { queue, order, settled: settled.promise, want }
}

/** The timers of the queue do not keep a process alive. */
async function awake<T>(promise: Promise<T>): Promise<T> {
  const held = setInterval(() => {}, 1_000)
  return promise.finally(() => clearInterval(held))
}

describe('the queue of deferred modules', () => {
  it('loads only requested modules before the app is ready', async () => {
    const { order, want } = queueOf(['a', 'b'])
    await awake(want('b'))
    assert.deepEqual(order, ['b'])
  })

  it('loads requested modules first, in order of demand, then the others in order of registration', async () => {
    const { queue, order, settled, want } = queueOf(['a', 'b', 'c', 'd', 'e'])
    const wanted = Promise.all([want('d'), want('b')])
    queue.loadAll(false)
    await awake(Promise.all([wanted, settled]))
    assert.deepEqual(order, ['d', 'b', 'a', 'c', 'e'])
    assert.equal(queue.report().loaded, 5)
    assert.equal(typeof queue.report().allSettledInMs, 'number')
  })

  it('loads one at a time, and lets the event loop turn between two', async () => {
    let loading = 0
    let turned = 0
    const turnsAtLoad: number[] = []
    const count = setInterval(() => {}, 1)
    const turn = (): void => {
      turned++
      timer = setImmediate(turn)
    }
    let timer = setImmediate(turn)
    const { queue, settled } = queueOf(['a', 'b', 'c'], async () => {
      assert.equal(++loading, 1)
      turnsAtLoad.push(turned)
      await Promise.resolve()
      loading--
    })
    queue.loadAll(true)
    await awake(settled)
    clearImmediate(timer)
    clearInterval(count)
    for (let index = 1; index < turnsAtLoad.length; index++) {
      assert.ok((turnsAtLoad[index] as number) > (turnsAtLoad[index - 1] as number) + 1, String(turnsAtLoad))
    }
  })

  it('continues with the next when one hangs', async () => {
    const begun = Promise.withResolvers<void>()
    const { queue, order, want } = queueOf(['hangs', 'b'], (name) => {
      if (name !== 'hangs') return undefined
      begun.resolve()
      return new Promise(() => {})
    })
    queue.loadAll(true)
    await begun.promise
    await awake(want('b'))
    assert.deepEqual(order, ['hangs', 'b'])
    assert.equal(queue.report().loading, 1)
  })

  it('settles when one has failed, and reports which and why', async () => {
    const { queue, settled } = queueOf(['a', 'broken', 'c'], (name) => {
      if (name === 'broken') throw new Error('no licence')
    })
    queue.loadAll(true)
    await awake(settled)
    const report = queue.report()
    assert.deepEqual([report.loaded, report.failed], [2, 1])
    assert.equal(report.modules[0]?.prefix, '/broken')
    assert.equal(report.modules[0]?.error, 'Error: no licence')
  })
})
