import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheReport, CacheRoomReport } from '../../../src/diagnostics/modules/cache-report.ts'
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
  readonly begin: (redis: TestRedis, way: ShapedProxy) => unknown
  readonly end: (redis: TestRedis, way: ShapedProxy) => unknown
  /** Whether Redis is to be left alone meanwhile. */
  readonly isDown: boolean
}

const DRILLS: readonly Drill[] = [
  { name: 'stands still', begin: (redis) => redis.freeze(), end: (redis) => redis.thaw(), isDown: true },
  { name: 'is killed and restarted', begin: (redis) => redis.kill(), end: (redis) => redis.start(), isDown: true },
  { name: 'is flushed', begin: (redis) => redis.command('FLUSHALL'), end: () => {}, isDown: false },
  {
    name: 'has no memory left',
    begin: (redis) => redis.command('CONFIG', 'SET', 'maxmemory', '1'),
    end: (redis) => redis.command('CONFIG', 'SET', 'maxmemory', '0'),
    isDown: false,
  },
  {
    name: 'takes 2 s for every answer',
    begin: (_redis, way) => {
      way.delay = 1_000
    },
    end: (_redis, way) => {
      way.delay = 0
    },
    isDown: true,
  },
]

function reports({ workers }: Status): CacheReport[] {
  return workers.flatMap(({ modules }) => (modules.cache as CacheRoomReport | undefined)?.caches ?? [])
}

/** Two servers with two workers each, as two machines run them, which share a Redis over a way that can be made slow. */
describe('two servers under Punctual that share a Redis, under load', { skip: missing ?? false }, () => {
  const source = new VersionSource()
  let redis: TestRedis
  let way: ShapedProxy
  let servers: TestServer[] = []
  let asked = 0

  before(async () => {
    redis = await startRedis()
    way = await startShapedProxy(redis.port)
    // Nothing expires: what is new is seen because somebody was told.
    const env = { REDIS_URL: way.url, SOURCE_URL: await source.open(), TTL: '300000' }
    servers = await Promise.all([0, 1].map(() => startServer({ entry: ENTRY, settings: { workers: 2 }, env })))
    await allWell()
  })
  after(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]()
    await way?.close()
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

  function allWell(): Promise<void> {
    return eachRedis('all to be well', ({ state, hears, queued }) => state === 'up' && hears && queued === 0)
  }

  /** On a connection of its own, so that either worker may have it. */
  async function ask(server: TestServer | undefined, path: string): Promise<number> {
    const { status, body, why } = await request(`${server?.url}/${path}`)
    assert.equal(status, 200, `${path}: ${why} ${body}`)
    return Number(body)
  }

  /** Clients who never rest, until `over`, and until there were enough of them. Fails with the first request that fails. */
  async function load(over: () => boolean): Promise<void> {
    let requests = 0
    const client = async (server: TestServer): Promise<void> => {
      while (!over() || requests < LEAST_REQUESTS) {
        await ask(server, `get/key${Math.floor(Math.random() * KEYS)}`)
        // One that no memory has, so that Redis is asked.
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

  /** All four workers, by chance; and it does not go back. */
  async function seenBy(server: TestServer | undefined, key: string, version: number): Promise<void> {
    const see = () => Promise.all(Array.from({ length: 12 }, () => ask(server, `get/${key}`)))
    await until(`${key} to be ${version}`, async () => (await see()).every((seen) => seen === version))
    assert.ok((await see()).every((seen) => seen === version))
  }

  for (const { name, begin, end, isDown } of DRILLS) {
    test(`while Redis ${name} no request fails, whoever updates is believed at once, and the other server in the end`, async () => {
      const [here, there] = servers
      await allWell()
      await seenBy(here, 'told', source.versions.get('told') ?? 0)
      await seenBy(there, 'told', source.versions.get('told') ?? 0)
      let over = false
      const loading = load(() => over)
      loading.catch(() => {})
      try {
        await begin(redis, way)
        if (isDown) await eachRedis('it to be left alone', ({ state }) => state === 'down')
        const version = await update(here, 'told')
        for (let round = 0; round < 12; round++) assert.equal(await ask(here, 'get/told'), version)
        await sleep(200)
        await end(redis, way)
        await allWell()
        await seenBy(there, 'told', version)
        await seenBy(here, 'told', version)
      } finally {
        over = true
        await end(redis, way)
      }
      await loading
    })
  }
})
