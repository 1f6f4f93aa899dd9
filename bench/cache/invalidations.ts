import { Agent } from 'node:http'
import { join } from 'node:path'
import type { CacheModuleReport, CacheReport } from '../../src/cache/cache-report.ts'
import { VersionSource } from '../../test/process/cache/version-source.ts'
import { request } from '../../test/process/support/client.ts'
import { startRedis } from '../../test/process/support/redis.ts'
import { startServer, type TestServer } from '../../test/process/support/server.ts'
import { until, WAIT_LIMIT } from '../../test/process/support/until.ts'

/** Durations of invalidations, in milliseconds. */
export interface InvalidationFigures {
  readonly what: string
  readonly times: number
  readonly p50: number
  readonly p99: number
  readonly most: number
}

const APP = join(import.meta.dirname, '../../test/process/cache/apps/linear.ts')
const WORKERS = 3

/** Measures invalidations among the workers of a machine, and between two machines. */
export async function measureInvalidations(times: number): Promise<readonly InvalidationFigures[]> {
  return [await amongWorkers(times), await amongMachines(times)]
}

/** A response arrives when the other workers have acknowledged the invalidation. */
async function amongWorkers(times: number): Promise<InvalidationFigures> {
  await using server = await startServer({ entry: APP, settings: { workers: WORKERS } })
  await server.until('all workers to be peers', ({ workers }) =>
    workers.every(({ modules }) => (modules.cache as CacheModuleReport | undefined)?.peers === WORKERS - 1),
  )
  return await measure(`acknowledged by ${WORKERS} workers under Punctual, including HTTP`, times, async () => {
    const { status, tookMs } = await request(`${server.url}/invalidate/key`)
    if (status !== 200) throw new Error(`an invalidation request returned ${status}`)
    return tookMs
  })
}

/** Two servers act as two machines. The other one is polled over HTTP until it has no item. */
async function amongMachines(times: number): Promise<InvalidationFigures> {
  const redis = await startRedis()
  const source = new VersionSource()
  const agent = new Agent({ keepAlive: true })
  try {
    const env = { REDIS_URL: redis.url, SOURCE_URL: await source.open(), TTL: '300000' }
    const settings = { workers: 1 }
    await using here = await startServer({ entry: APP, settings, env })
    await using there = await startServer({ entry: APP, settings, env })
    const report = async (server: TestServer): Promise<CacheReport> =>
      JSON.parse((await request(`${server.url}/report`, { agent })).body) as CacheReport
    for (const server of [here, there]) {
      await until('the Redis subscription', async () => (await report(server)).redis?.subscribed)
    }
    return await measure('applied on another machine, through Redis', times, async () => {
      await request(`${there.url}/get/key`, { agent })
      const from = performance.now()
      const invalidated = request(`${here.url}/invalidate/key`, { agent })
      // No pause between polls, because it would be part of the figure.
      while ((await report(there)).items > 0) {
        if (performance.now() - from > WAIT_LIMIT)
          throw new Error(`waited ${WAIT_LIMIT} ms for the other machine to apply the invalidation`)
      }
      const took = performance.now() - from
      await invalidated
      return took
    })
  } finally {
    agent.destroy()
    source.close()
    await redis.stop()
  }
}

async function measure(what: string, times: number, once: () => Promise<number>): Promise<InvalidationFigures> {
  for (let round = 0; round < 50; round++) await once()
  const took: number[] = []
  for (let round = 0; round < times; round++) took.push(await once())
  took.sort((a, b) => a - b)
  const at = (share: number): number => took[Math.ceil(took.length * share) - 1] ?? 0
  return { what, times, p50: at(0.5), p99: at(0.99), most: at(1) }
}
