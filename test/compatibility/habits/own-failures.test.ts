import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import type { LogLine } from '../../process/support/log-lines.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const entry = join(import.meta.dirname, 'apps/own-failures.mjs')

describe('a connection that ends before its response does', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({ entry, settings: { workers: 1, accessLog: 'all' } })
  })
  after(() => server.stop())

  const lineOf = (route: string): Promise<LogLine> =>
    server.log((line) => line.event === 'request' && line.route === route)

  for (const [route, error] of [
    ['/pipeline', 'Error: the source failed'],
    ['/destroy', 'Error: own'],
    ['/destroy-early', 'Error: own'],
    ['/socket', undefined],
    ['/request', undefined],
  ] as const) {
    it(`is a failure of the app when the app closes it: ${route}`, async () => {
      assert.notEqual((await request(`${server.url}${route}`)).kind, 'answer')
      const line = await lineOf(route)
      assert.deepEqual([line.outcome, line.error], ['failed', error])
    })
  }

  for (const [route, outcome] of [
    ['/whole', 'completed'],
    ['/not-modified', 'completed'],
    ['/part', 'client-disconnected'],
    ['/large', 'client-disconnected'],
  ] as const) {
    it(`is ${outcome} when the client closes it after its first data: ${route}`, async () => {
      const socket = net.connect(server.port, '127.0.0.1')
      socket.write(`GET ${route} HTTP/1.1\r\nHost: x\r\n\r\n`)
      let text = ''
      while (!/\r\n\r\n/.test(text) || (!text.includes(' 304 ') && text.endsWith('\r\n\r\n')))
        text += String((await once(socket, 'data'))[0])
      socket.destroy()
      assert.equal((await lineOf(route)).outcome, outcome)
    })
  }

  it('is client-disconnected when the client closes it before the response', async () => {
    const socket = net.connect(server.port, '127.0.0.1')
    socket.write('GET /unanswered HTTP/1.1\r\nHost: x\r\n\r\n')
    await server.until('the request', ({ workers: [worker] }) => worker?.inFlight === 1)
    socket.destroy()
    assert.equal((await lineOf('/unanswered')).outcome, 'client-disconnected')
  })
})
