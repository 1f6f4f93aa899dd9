import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ReadThrough, readThrough } from '../../../src/cache/read-through.ts'
import type { ReadThroughOptions } from '../../../src/cache/read-through-options.ts'
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { CLIENTS, type ConnectedClient } from './clients.ts'
import { onOwnMachine } from './worker-hub.ts'

interface Row {
  readonly id: string
  readonly version: number
  readonly at: Date
  readonly big: bigint
}

const missing = redisMissing()

for (const [library, connect] of Object.entries(CLIENTS)) {
  describe(`two machines over ${library}`, { skip: missing ?? false }, () => {
    let redis: TestRedis
    const clients: ConnectedClient[] = []
    const caches: ReadThrough<string, Row>[] = []
    /** The source of both machines. */
    const rows = new Map<string, number>()
    let loads = 0

    before(async () => {
      redis = await startRedis()
    })
    after(async () => {
      for (const cache of caches) cache.close()
      for (const client of clients) await client.close()
      await redis?.stop()
    })

    /** Each with its own connection and memory, like two machines. */
    async function machines(
      prefix: string,
      options: Partial<ReadThroughOptions<string, Row>> = {},
    ): Promise<[ReadThrough<string, Row>, ReadThrough<string, Row>]> {
      const made: ReadThrough<string, Row>[] = []
      for (let index = 0; index < 2; index++) {
        const connected = await connect(redis.url)
        clients.push(connected)
        const all = {
          load: async (id) => {
            loads++
            const version = rows.get(id)
            return version === undefined ? null : { id, version, at: new Date(version), big: BigInt(version) }
          },
          redis: connected.client,
          redisTimeout: '5s',
          onEvent: () => {},
          ...options,
          prefix,
        } as ReadThroughOptions<string, Row>
        const cache = onOwnMachine(() => readThrough<string, Row>(`machine ${index}`, all))
        caches.push(cache)
        made.push(cache)
      }
      await until('both to be subscribed', () => made.every((cache) => cache.report().redis?.subscribed))
      loads = 0
      return made as [ReadThrough<string, Row>, ReadThrough<string, Row>]
    }

    test('one reads from Redis what the other has loaded, with dates and bigints', async () => {
      const [one, other] = await machines('share')
      rows.set('1', 7)
      await one.get('1')
      await until('the value to be stored', async () => (await redis.command('EXISTS', 'punctual:share:value:1')) === 1)
      assert.deepEqual(await other.get('1'), { id: '1', version: 7, at: new Date(7), big: 7n })
      assert.equal(loads, 1)
      assert.equal(other.report().counts.hitsRedis, 1)
      assert.equal(await one.get('none'), undefined)
      await until(
        'the value to be stored',
        async () => (await redis.command('EXISTS', 'punctual:share:value:none')) === 1,
      )
      assert.equal(await other.get('none'), undefined)
      assert.equal(loads, 2)
    })

    test('only one loads a key at a time; the other waits up to peerTimeout', async () => {
      let running = 0
      let most = 0
      const [one, other] = await machines('lease', {
        load: async (id) => {
          most = Math.max(most, ++running)
          await sleep(100)
          running--
          loads++
          return { id, version: 1, at: new Date(1), big: 1n }
        },
      })
      await Promise.all([one.get('1'), other.get('1')])
      assert.deepEqual([loads, most], [1, 1])
      const [impatient, slow] = await machines('lease 2', {
        peerTimeout: '30ms',
        load: async (id) => {
          loads++
          await sleep(1_000)
          return { id, version: 1, at: new Date(1), big: 1n }
        },
      })
      await Promise.all([slow.get('1'), impatient.get('1')])
      assert.equal(loads, 2)
    })

    test('an invalidation reaches the other machine', async () => {
      const [one, other] = await machines('reach')
      rows.set('1', 1)
      await one.get('1')
      await other.get('1')
      rows.set('1', 2)
      await one.invalidate('1')
      await until('the other to reload it', async () => (await other.get('1'))?.version === 2)
      assert.equal((await one.get('1'))?.version, 2)
    })

    test('a load that started before an invalidation is neither stored nor kept', async () => {
      const gate = Promise.withResolvers<void>()
      let slow = true
      const [one, other] = await machines('race', {
        load: async (id) => {
          const version = rows.get(id) ?? 0
          if (slow) await gate.promise
          return { id, version, at: new Date(0), big: 0n }
        },
      })
      rows.set('1', 1)
      const old = one.get('1')
      await until('the load to start', () => one.report().counts.loads === 1)
      slow = false
      rows.set('1', 2)
      await other.invalidate('1')
      gate.resolve()
      assert.equal((await old)?.version, 1)
      await until('the new one to be seen by both', async () => {
        return (await one.get('1'))?.version === 2 && (await other.get('1'))?.version === 2
      })
      for (let round = 0; round < 20; round++) {
        assert.equal((await one.get('1'))?.version, 2)
        assert.equal((await other.get('1'))?.version, 2)
        await other.invalidate('1')
      }
    })

    test('a tag invalidates on all machines, including running loads', async () => {
      const [one, other] = await machines('tagged', { tags: ({ id }) => [`group:${id[0]}`] })
      for (const id of ['a1', 'a2', 'b1']) rows.set(id, 1)
      for (const cache of [one, other]) for (const id of ['a1', 'a2', 'b1']) await cache.get(id)
      for (const id of ['a1', 'a2', 'b1']) rows.set(id, 2)
      await one.invalidate({ tag: 'group:a' })
      const seen = async (cache: typeof one) => {
        const versions = []
        for (const id of ['a1', 'a2', 'b1']) versions.push((await cache.get(id))?.version)
        return versions.join()
      }
      await until(
        'both to reload the group',
        async () => (await seen(one)) === '2,2,1' && (await seen(other)) === '2,2,1',
      )
    })

    test('a value that one sets is read by the other', async () => {
      const [one, other] = await machines('set')
      rows.set('1', 1)
      await other.get('1')
      rows.set('1', 2)
      await one.set('1', { id: '1', version: 2, at: new Date(2), big: 2n })
      loads = 0
      await until('the other to see it', async () => (await other.get('1'))?.version === 2)
      assert.equal((await one.get('1'))?.version, 2)
      assert.equal(loads, 0, 'the source is not asked')
    })

    test('after any order of loads, sets and invalidations, both have the newest', async () => {
      const [one, other] = await machines('order', {
        load: async (id) => {
          const version = rows.get(id) ?? 0
          await sleep(Math.random() * 5)
          return { id, version, at: new Date(0), big: 0n }
        },
      })
      const ids = ['a', 'b']
      let last = 0
      for (let round = 0; round < 10; round++) {
        // Each key has one writer, because the order of two would be undefined.
        const work = async (cache: typeof one, own: string) => {
          for (let step = 0; step < 20; step++) {
            const id = Math.random() < 0.5 ? own : (ids[step % ids.length] as string)
            if (id !== own || Math.random() < 0.5) await cache.get(id)
            else {
              const version = ++last
              rows.set(id, version)
              if (Math.random() < 0.5) await cache.set(id, { id, version, at: new Date(0), big: 0n })
              else await cache.invalidate(id)
            }
          }
        }
        await Promise.all([work(one, 'a'), work(other, 'b')])
        await until('both to have the newest', async () => {
          for (const cache of [one, other]) {
            for (const id of ids) if ((await cache.get(id))?.version !== (rows.get(id) ?? 0)) return false
          }
          return true
        })
      }
    })

    test('everything can be invalidated on all machines', async () => {
      const [one, other] = await machines('all')
      for (const id of ['1', '2', '3']) {
        rows.set(id, 1)
        await one.get(id)
        await other.get(id)
        rows.set(id, 2)
      }
      await one.invalidateAll()
      await until('both to reload', async () => {
        for (const cache of [one, other]) {
          for (const id of ['1', '2', '3']) if ((await cache.get(id))?.version !== 2) return false
        }
        return true
      })
    })

    test('a value that cannot be decoded is a miss, and counted; the next one is stored', async () => {
      const [one, other] = await machines('broken')
      rows.set('1', 1)
      await one.get('1')
      await until(
        'the value to be stored',
        async () => (await redis.command('EXISTS', 'punctual:broken:value:1')) === 1,
      )
      await redis.command('HSET', 'punctual:broken:value:1', 'v', '{"$type":"from the future"}')
      assert.equal((await other.get('1'))?.version, 1)
      assert.equal(other.report().counts.undecodable, 1)
      await until('it to be stored again', async () =>
        String(await redis.command('HGET', 'punctual:broken:value:1', 'v')).includes('version'),
      )
    })
  })
}
