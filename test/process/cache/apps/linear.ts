// The app of `linearisable.test.ts` and `two-servers.test.ts`: a cache in each worker, over a
// source in the test.
import { createServer } from 'node:http'
import { Redis } from 'ioredis'
import { readThrough } from '../../../../src/cache/index.ts'

const source = process.env.SOURCE_URL ?? ''
const redis = process.env.REDIS_URL

const versions = readThrough<string, number>('linear', {
  load: async (key, { signal }) => Number(await (await fetch(`${source}/${key}`, { signal })).text()),
  ttl: Number(process.env.TTL ?? 2_000),
  grace: '1m',
  onEvent: () => {},
  ...(redis === undefined ? {} : { redis: new Redis(redis, { retryStrategy: () => 50 }) }),
})

createServer(async (request, response) => {
  const [, action, key = ''] = (request.url ?? '').split('/')
  try {
    if (action === 'invalidate') await versions.invalidate(key)
    const body = action === 'get' ? String(await versions.get(key)) : JSON.stringify(versions.report())
    response.end(body)
  } catch (error) {
    response.statusCode = 500
    response.end(String(error))
  }
}).listen(Number(process.env.PORT), process.env.HOST)
