import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheModuleReport, CacheReport } from '../../../src/cache/cache-report.ts'
import type { Status } from '../../../src/diagnostics/status.ts'
import { request } from '../support/client.ts'
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { type ShapedProxy, startShapedProxy } from './shaped-proxy.ts'
import { VersionSource } from './version-source.ts'

const ENTRY = join(import.meta.dirname, 'apps/linear.ts')
const CLIENTS_EACH = 3
const KEYS = 50
const LEAST_REQUESTS = 100
const missing = redisMissing()

interface Drill {
  readonly name: string
  readonly begin: (redis: TestRedis, proxy: ShapedProxy) => unknown
  readonly end: (redis: TestRedis, proxy: ShapedProxy) => unknown
  /** Whether the servers must stop using Redis. */
  readonly isDown: boolean
}

const DRILLS: readonly Drill[] = [
  { name: 'hangs', begin: (redis) => redis.freeze(), end: (redis) => redis.thaw(), isDown: true },
  { name: 'is killed and restarted', begin: (redis) => redis.kill(), end: (redis) => redis.start(), isDown: true },
  { name: 'is flushed', begin: (redis) => redis.command('FLUSHALL'), end: () => {}, isDown: false },
  {
    name: 'is out of memory',
    begin: (redis) => redis.command('CONFIG', 'SET', 'maxmemory', '1'),
    end: (redis) => redis.command('CONFIG', 'SET', 'maxmemory', '0'),
    isDown: false,
  },
  {
    name: 'takes 2 s for each reply',
    begin: (_redis, proxy) => {
      proxy.delay = 1_000
    },
    end: (_redis, proxy) => {
      proxy.delay = 0
    },
    isDown: true,
  },
]

function reports({ workers }: Status): CacheReport[] {
  return workers.flatMap(({ modules }) => (modules.cache as CacheModuleReport | undefined)?.caches ?? [])
}

/**
 * Two servers with two workers each, like two machines, which share a Redis behind a proxy that can
 * be slowed down.
 */
describe('two servers under Punctual that share a Redis, under load', { skip: missing ?? false }, () => {
  const source = new VersionSource()
  let redis: TestRedis
  let proxy: ShapedProxy
  let servers: TestServer[] = []
  let asked = 0

  before(async () => {
    redis = await startRedis()
    proxy = await startShapedProxy(redis.port)
    // Nothing expires, so that a new version is seen only after an invalidation.
    const env = { REDIS_URL: proxy.url, SOURCE_URL: await source.open(), TTL: '300000' }
    servers = await Promise.all([0, 1].map(() => startServer({ entry: ENTRY, settings: { workers: 2 }, env })))
    await allRecovered()
  })
  after(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]()
    await proxy?.close()
    await redis?.stop()
    source.close()
  })

  async function eachRedis(what: string, holds: (redis: NonNullable<CacheReport['redis']>) => boolean): Promise<void> {
    for (const server of servers) {
      await server.until(what, (status) => {
        const found = reports(status)
        return found.length === 2 && found.every(({ redis }) => redis !== null && holds(redis))
      })
    }
  }

  function allRecovered(): Promise<void> {
    return eachRedis('all to recover', ({ state, subscribed, queued }) => state === 'up' && subscribed && queued === 0)
  }

  /** On a new connection, so that any worker may accept it. */
  async function ask(server: TestServer | undefined, path: string): Promise<number> {
    const { status, body, why } = await request(`${server?.url}/${path}`)
    assert.equal(status, 200, `${path}: ${why} ${body}`)
    return Number(body)
  }

  /**
   * Clients without pauses, until `over` and at least `LEAST_REQUESTS`. Rejects with the first
   * failed request.
   */
  async function load(over: () => boolean): Promise<void> {
    let requests = 0
    const client = async (server: TestServer): Promise<void> => {
      while (!over() || requests < LEAST_REQUESTS) {
        await ask(server, `get/key${Math.floor(Math.random() * KEYS)}`)
        // A key that no worker has in memory, so that Redis is read.
        await ask(server, `get/new${++asked}`)
        requests += 2
      }
    }
    await Promise.all(servers.flatMap((server) => Array.from({ length: CLIENTS_EACH }, () => client(server))))
  }

  async function update(server: TestServer | undefined, key: string): Promise<number> {
    const version = (source.versions.get(key) ?? 0) + 1
    source.versions.set(key, version)
    await request(`${server?.url}/invalidate/${key}`)
    return version
  }

  /** Asserts that all workers, very likely, see the version, and keep it. */
  async function seenBy(server: TestServer | undefined, key: string, version: number): Promise<void> {
    const see = () => Promise.all(Array.from({ length: 12 }, () => ask(server, `get/${key}`)))
    await until(`${key} to be ${version}`, async () => (await see()).every((seen) => seen === version))
    assert.ok((await see()).every((seen) => seen === version))
  }

  for (const { name, begin, end, isDown } of DRILLS) {
    test(`while Redis ${name} no request fails, an update is seen at once on its server, and finally on the other`, async () => {
      const [here, there] = servers
      await allRecovered()
      await seenBy(here, 'updated', source.versions.get('updated') ?? 0)
      await seenBy(there, 'updated', source.versions.get('updated') ?? 0)
      let over = false
      const loading = load(() => over)
      loading.catch(() => {})
      try {
        await begin(redis, proxy)
        if (isDown) await eachRedis('Redis to be unused', ({ state }) => state === 'down')
        const version = await update(here, 'updated')
        for (let round = 0; round < 12; round++) assert.equal(await ask(here, 'get/updated'), version)
        await sleep(200)
        await end(redis, proxy)
        await allRecovered()
        await seenBy(there, 'updated', version)
        await seenBy(here, 'updated', version)
      } finally {
        over = true
        await end(redis, proxy)
      }
      await loading
    })
  }
})
