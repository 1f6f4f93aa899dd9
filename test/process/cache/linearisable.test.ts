import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheRoomReport } from '../../../src/diagnostics/modules/cache-report.ts'
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { VersionSource } from './version-source.ts'

/** Milliseconds of random work for each variant; `LINEAR=60000` gambles for longer. */
const LENGTH = Number(process.env.LINEAR ?? 4_000)
/** And until there was so much of it, on a slow machine. */
const LEAST_READS = 100
const LEAST_UPDATES = 20
/** Milliseconds more in which that must be reached. */
const EXTENSION = 30_000
/** Milliseconds. */
const REQUEST_LIMIT = 30_000
const KEYS = 6
const READERS = 6
const WRITERS = 2
const missing = redisMissing()

/** It may have left since we looked. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

describe('three workers under Punctual', () => {
  const source = new VersionSource()
  let url: string
  before(async () => {
    url = await source.open()
  })
  after(() => source.close())

  async function start(env: Readonly<Record<string, string>>): Promise<TestServer> {
    const server = await startServer({
      entry: join(import.meta.dirname, 'apps/linear.ts'),
      settings: { workers: 3, crashLimit: 1000 },
      env: { SOURCE_URL: url, ...env },
    })
    await server.until(
      'all to be ready and to know each other',
      ({ workers }) =>
        workers.filter(({ state, modules }) => {
          const cache = modules.cache as CacheRoomReport | undefined
          return state === 'ready' && cache?.peers === 2
        }).length === 3,
    )
    return server
  }

  /** Null where nothing came back: its worker was killed under it. */
  async function ask(server: TestServer, path: string): Promise<string | null> {
    try {
      const response = await fetch(`${server.url}/${path}`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(REQUEST_LIMIT),
      })
      const text = await response.text()
      return response.ok ? text : null
    } catch {
      return null
    }
  }

  /** Readers and writers at random, while somebody disturbs. */
  async function gamble(server: TestServer, disturb: (over: () => boolean) => Promise<void>): Promise<void> {
    const end = performance.now() + LENGTH
    const acknowledged = new Map<string, number>()
    const faults: string[] = []
    const counts = { reads: 0, updates: 0 }
    const isEnough = () => counts.reads >= LEAST_READS && counts.updates >= LEAST_UPDATES
    const over = () => {
      const past = performance.now() - end
      return past > 0 && (isEnough() || past > EXTENSION)
    }
    const someKey = () => `key${Math.floor(Math.random() * KEYS)}`
    const read = async () => {
      while (!over()) {
        const key = someKey()
        const least = acknowledged.get(key) ?? 0
        const got = await ask(server, `get/${key}`)
        if (got === null) continue
        counts.reads++
        if (Number(got) < least) faults.push(`${key}: got ${got} after ${least} was acknowledged`)
      }
    }
    const write = async (own: number) => {
      while (!over()) {
        // Each has keys of its own: so there is one order of updates.
        const key = `key${Math.floor((Math.random() * KEYS) / WRITERS) * WRITERS + own}`
        const version = (source.versions.get(key) ?? 0) + 1
        source.versions.set(key, version)
        if ((await ask(server, `invalidate/${key}`)) !== null) {
          acknowledged.set(key, version)
          counts.updates++
        }
        await sleep(Math.random() * 20)
      }
    }
    await Promise.all([
      ...Array.from({ length: READERS }, read),
      ...Array.from({ length: WRITERS }, (_, own) => write(own)),
      disturb(over),
    ])
    assert.deepEqual(faults, [])
    assert.ok(isEnough(), `${counts.reads} reads, ${counts.updates} updates`)
  }

  async function killAndStop(server: TestServer, over: () => boolean): Promise<void> {
    for (let round = 0; !over(); round++) {
      await sleep(Math.random() * 600)
      const { workers } = await server.status()
      const ready = workers.flatMap(({ state, pid }) => (state === 'ready' && pid !== null ? [pid] : []))
      const chosen = ready[Math.floor(Math.random() * ready.length)]
      if (chosen === undefined) continue
      if (round % 3 === 2) signal(chosen, 'SIGKILL')
      else {
        signal(chosen, 'SIGSTOP')
        await sleep(Math.random() * 600)
        signal(chosen, 'SIGCONT')
      }
    }
  }

  test('no value older than one whose invalidation was acknowledged is ever shown, while workers are killed and stopped', async () => {
    await using server = await start({})
    for (let version = 1; version < 10; version++) {
      source.versions.set('told', version)
      await ask(server, 'invalidate/told')
      for (let round = 0; round < 10; round++) assert.equal(await ask(server, 'get/told'), String(version))
    }
    await gamble(server, (over) => killAndStop(server, over))
  })

  test('nor with Redis, while it stands still now and then', { skip: missing ?? false }, async () => {
    const redis: TestRedis = await startRedis()
    try {
      await using server = await start({ REDIS_URL: redis.url })
      await gamble(server, async (over) => {
        const redisToo = async () => {
          while (!over()) {
            await sleep(Math.random() * 1_000)
            redis.freeze()
            await sleep(Math.random() * 500)
            redis.thaw()
          }
        }
        await Promise.all([killAndStop(server, over), redisToo()])
      })
    } finally {
      await redis.stop()
    }
  })
})
