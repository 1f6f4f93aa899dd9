import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import http from 'node:http'
import https from 'node:https'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { request, requests, tally, wordOf } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const app = join(import.meta.dirname, 'apps/passing-on-connections.mjs')
const WAYS = ['socket', 'stream', 'https', 'tls-server', 'tls-socket'] as const
const isSecure = (way: string): boolean => way !== 'socket' && way !== 'stream'

describe('connections that one server accepts and passes on to another', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({
      entry: app,
      settings: { workers: 1 },
      prepare: (directory) => {
        const files = ['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')]
        const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost', ...files]
        execFileSync('openssl', args, { stdio: 'ignore' })
      },
    })
  })
  after(() => server[Symbol.asyncDispose]())

  const url = (way: string, path: string): string =>
    `${isSecure(way) ? 'https' : 'http'}://127.0.0.1:${server.port}${path}`
  const passOn = (way: string): Promise<unknown> => request(`http://127.0.0.1:${server.port}/pass-on/${way}`)
  const agentFor = (way: string): http.Agent => {
    const options = { keepAlive: true, maxSockets: 3 }
    return isSecure(way) ? new https.Agent(options) : new http.Agent(options)
  }
  const connections = (count: number): Promise<unknown> =>
    server.until(`${count} connections`, ({ workers }) => workers.at(-1)?.connections === count)

  for (const way of WAYS) {
    test(`are counted once, and no longer when they are closed: ${way}`, async () => {
      await passOn(way)
      assert.deepEqual(tally(await Promise.all(requests(40, url(way, '/')))), { 200: 40 })
      const agent = agentFor(way)
      try {
        const open = [1, 2, 3].map(() => request(url(way, '/'), { agent }))
        assert.deepEqual(tally(await Promise.all(open)), { 200: 3 })
        await connections(3)
      } finally {
        agent.destroy()
      }
      await connections(0)
    })
  }

  test('get no plain text inside TLS when their worker exits, and an answer without TLS', async () => {
    for (const way of WAYS) {
      await passOn(way)
      const waiting = request(url(way, `/hang/${way}`))
      await server.log(new RegExp(`^begun /hang/${way}$`))
      await request(`http://127.0.0.1:${server.port}/exit`)
      const outcome = await waiting
      if (way === 'socket') assert.equal(wordOf(outcome), '503')
      else assert.ok(outcome.kind === 'reset' || outcome.kind === 'closed', `${way}: ${outcome.kind} ${outcome.why}`)
      await server.until(
        'the next worker',
        ({ ready, workers }) => ready && workers.every(({ state }) => state === 'ready'),
      )
    }
  })

  test('are drained: a reload ends when their requests have been answered', async () => {
    for (const way of WAYS) {
      await passOn(way)
      const { pid } = await server.worker()
      const waiting = request(url(way, `/slow/${way}`))
      await server.log(new RegExp(`^begun /slow/${way}$`))
      assert.equal((await server.command('reload')).code, 0)
      assert.equal((await waiting).body, 'slow', way)
      await server.until('the old worker to exit', ({ workers }) => workers.every((worker) => worker.pid !== pid))
      await server.log(
        ({ event, workerPid, drained }) => event === 'worker-exited' && workerPid === pid && drained === true,
      )
    }
  })
})
