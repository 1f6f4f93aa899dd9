import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Status } from '../../../src/diagnostics/status.ts'
import { request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { Load } from './load.ts'

const APP = { 'app.js': `export default (request, response) => response.end(String(process.pid))` }

/** Polls `/status` until it is stopped; returns the lowest number of ready workers. */
function watchReady(server: TestServer): { stop(): Promise<{ fewest: number; looks: number }> } {
  let stopping = false
  let fewest = Number.POSITIVE_INFINITY
  let looks = 0
  const ready = ({ workers }: Status): number => workers.filter(({ state }) => state === 'ready').length
  const watching = (async () => {
    while (!stopping) {
      fewest = Math.min(fewest, ready(await server.status()))
      looks++
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  return {
    stop: async () => {
      stopping = true
      await watching
      return { fewest, looks }
    },
  }
}

function isRecycled(line: LogLine, worker: number, reason: string): boolean {
  return line.event === 'worker-recycling' && line.worker === worker && line.reason === reason
}

function idsOf({ workers }: Status): number[] {
  return workers.map(({ id }) => id).toSorted((a, b) => a - b)
}

describe('a worker is recycled only once its replacement is ready', () => {
  for (const keepAlive of [true, false]) {
    it(`after its requests, ${keepAlive ? 'with' : 'without'} keep-alive: no request fails, and there are never fewer ready workers than wanted`, async (context) => {
      await using server = await startServer({
        files: APP,
        settings: { workers: 2, maxRequests: 50, recycleJitter: '50%', keepAlive: '2s' },
      })
      const first = await server.status()
      const watch = watchReady(server)
      await using load = new Load(server.url, 4, keepAlive, () => 5)
      await server.until('both to be replaced twice', ({ workers }) => Math.min(...workers.map(({ id }) => id)) > 4)
      const { counts, total, faults } = await load.stop()
      const { fewest, looks } = await watch.stop()
      context.diagnostic(`${total} requests: ${JSON.stringify(counts)}; ${looks} looks, at least ${fewest} ready`)
      assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
      assert.equal(fewest, 2)
      const { restarts, pid, incidents } = await server.status()
      assert.deepEqual({ restarts, pid, incidents: incidents.total }, { restarts: {}, pid: first.pid, incidents: 0 })
      await server.log((line) => isRecycled(line, 1, 'requests'))
    })
  }

  it('when it uses more memory than its limit, with an incident', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
const kept = []
export default (request, response) => {
  if (request.url === '/leak') kept.push(Buffer.alloc(80 * 1024 * 1024, 1))
  response.end(String(kept.length))
}
`,
      },
      settings: { workers: 1, maxMemory: '250MiB', maxMemorySamples: 2 },
    })
    const [id] = idsOf(await server.status())
    await using load = new Load(server.url, 2, true, () => 20)
    await until('it to have leaked', async () => {
      await request(`${server.url}/leak`)
      return ((await server.status()).workers[0]?.rssBytes ?? 0) > 260 * 1024 * 1024
    })
    const { restarts } = await server.until('its replacement', (status) => !idsOf(status).includes(id ?? 0))
    assert.deepEqual(restarts, {})
    const incident = await server.incident('of its memory', ({ kind }) => kind === 'memory')
    assert.equal(incident.worker?.id, id)
    const { rss = 0, limit } = incident.memory ?? {}
    assert.equal(limit, 250 * 1024 * 1024)
    assert.ok(rss > limit, String(rss))
    const { counts, faults } = await load.stop()
    assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
  })

  it('when it reaches its maximum lifetime', async () => {
    await using server = await startServer({
      files: APP,
      settings: { workers: 2, maxLifetime: '1s', recycleJitter: '50%' },
    })
    const watch = watchReady(server)
    await server.until('both to be replaced', (status) => Math.min(...idsOf(status)) > 2)
    assert.equal((await watch.stop()).fewest, 2)
    await server.log((line) => isRecycled(line, 1, 'lifetime'))
    assert.deepEqual((await server.status()).restarts, {})
  })

  it('and keeps serving while the replacement cannot boot', async () => {
    await using server = await startServer({
      files: APP,
      settings: { workers: 1, maxRequests: 20, restartDelayMin: '20ms', crashLimit: 'unbounded' },
    })
    const { id } = await server.worker()
    server.directory.write({ 'app.js': 'throw new Error("half a deploy")' })
    for (let count = 0; count < 25; count++) await request(server.url)
    await server.until('the replacement to have failed twice', ({ restarts }) => (restarts.boot ?? 0) >= 2)
    assert.equal((await request(server.url)).status, 200)
    const { workers } = await server.status()
    assert.equal(workers.find((worker) => worker.id === id)?.state, 'ready')
    server.directory.write(APP)
    await server.until('it to be replaced', (status) => status.ready && !idsOf(status).includes(id))
  })
})
