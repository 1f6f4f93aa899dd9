import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { publishWorkerLine, type WorkerLine } from '../../protocol/worker-line.ts'
import type { CacheRoomReport } from '../../report/rooms/cache-report.ts'
import { type ReadThrough, readThrough } from '../read-through.ts'
import { STOOD_STILL } from './steadiness.ts'

/** The arbiter's part: what one worker broadcasts all others hear, in order, a little later. */
class Hub {
  readonly #ears = new Map<number, Map<string, (message: unknown) => void>>()
  readonly #reports = new Map<number, () => unknown>()
  /** Workers that hear nothing for now. */
  readonly deaf = new Set<number>()
  readonly #kept: (() => void)[] = []

  line(worker: number): WorkerLine {
    const ears = new Map<string, (message: unknown) => void>()
    this.#ears.set(worker, ears)
    return {
      worker,
      stateDir: '/nowhere',
      tell: () => {},
      broadcast: (topic, message) => {
        const text = JSON.stringify(message)
        for (const [other, heard] of this.#ears) {
          if (other === worker) continue
          const deliver = (): void => heard.get(topic)?.(JSON.parse(text))
          if (this.deaf.has(other)) this.#kept.push(deliver)
          else setImmediate(deliver)
        }
      },
      hear: (topic, listener) => {
        ears.set(topic, listener)
        return () => ears.delete(topic)
      },
      report: (_topic, snapshot) => {
        this.#reports.set(worker, snapshot)
        return () => this.#reports.delete(worker)
      },
      onDrain: () => () => {},
      load: () => ({ utilisation: 0, inFlight: 0 }),
    }
  }

  report(worker: number): CacheRoomReport {
    return this.#reports.get(worker)?.() as CacheRoomReport
  }

  deliverKept(): void {
    this.deaf.clear()
    for (const deliver of this.#kept.splice(0)) setImmediate(deliver)
  }
}

describe('three workers', () => {
  const caches: ReadThrough<string, number>[] = []
  afterEach(() => {
    for (const cache of caches.splice(0)) cache.close()
  })

  async function workers(): Promise<{ hub: Hub; source: Map<string, number>; caches: ReadThrough<string, number>[] }> {
    const hub = new Hub()
    const source = new Map([['k', 1]])
    for (const worker of [1, 2, 3]) {
      publishWorkerLine(hub.line(worker))
      caches.push(readThrough<string, number>('auth:user', { load: (key) => source.get(key) }))
    }
    publishWorkerLine(null)
    for (const cache of caches) assert.equal(await cache.get('k'), 1)
    return { hub, source, caches }
  }

  test('what one invalidates all have dropped when it is done', async () => {
    const { hub, source, caches } = await workers()
    assert.deepEqual(
      [1, 2, 3].map((worker) => hub.report(worker).peers),
      [2, 2, 2],
    )
    source.set('k', 2)
    await caches[0]?.invalidate('k')
    for (const cache of caches) assert.equal(await cache.get('k'), 2)
    await caches[1]?.set('k', 3)
    source.set('k', 3)
    for (const cache of caches) assert.equal(await cache.get('k'), 3)
    await caches[2]?.invalidateAll()
    for (const cache of caches) assert.equal(cache.report().items, 0)
  })

  test('one that does not answer is waited for once, and again when it has been heard of', async () => {
    const { hub, source, caches } = await workers()
    hub.deaf.add(3)
    source.set('k', 2)
    await caches[0]?.invalidate('k')
    assert.equal(hub.report(1).peers, 1)
    assert.equal(await caches[1]?.get('k'), 2)
    await caches[0]?.invalidate('k')
    hub.deliverKept()
    while (hub.report(1).peers < 2) await turn()
    assert.equal(await caches[2]?.get('k'), 2)
  })

  test('one whose loop stood still hears what it was told before it answers from memory', async () => {
    const { hub, source, caches } = await workers()
    hub.deaf.add(3)
    source.set('k', 2)
    await caches[0]?.invalidate('k')
    const end = performance.now() + STOOD_STILL + 50
    while (performance.now() < end);
    const got = caches[2]?.get('k')
    hub.deliverKept()
    assert.equal(await got, 2)
  })

  test('what others send that is no message of ours is left alone', async () => {
    const { hub, caches } = await workers()
    const line = hub.line(4)
    for (const message of [
      { type: 'drop', from: 'x', drop: { keys: 'k' } },
      { type: 'nonsense', from: 'x' },
    ]) {
      line.broadcast('cache', message)
    }
    await turn()
    await turn()
    assert.equal(caches[0]?.report().items, 1)
  })
})
