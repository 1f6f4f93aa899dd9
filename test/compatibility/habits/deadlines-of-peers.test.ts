import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const files = {
  'app.mjs': `
import http from 'node:http'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
http.createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  if (pathname === '/slow') await sleep(600)
  if (pathname === '/fetch') return response.end(await (await fetch(searchParams.get('url'))).text())
  if (pathname === '/http') {
    const [answer] = await once(http.get(searchParams.get('url'), { agent: false, family: 4 }), 'response')
    return answer.pipe(response)
  }
  response.end('ok')
}).listen(process.env.PORT, process.env.HOST)
`,
}

let server: TestServer
/** Answers with the headers it has received. */
const peer = http.createServer((incoming, response) => response.end(JSON.stringify(incoming.headers)))

before(async () => {
  await new Promise<void>((resolve) => peer.listen(0, resolve))
  server = await startServer({
    files,
    settings: { workers: 1, trustDeadlines: '10.0.0.0/8,unix', propagateDeadlines: '127.0.0.1,*.internal' },
  })
})

after(async () => {
  await server?.[Symbol.asyncDispose]()
  peer.close()
})

test('a caller that is not named in trustDeadlines cannot shorten the deadline', async () => {
  for (const headers of [{ 'request-timeout': '50' }, { 'grpc-timeout': '50m' }]) {
    assert.equal((await request(`${server.url}/slow`, { headers })).status, 200)
  }
})

for (const library of ['http', 'fetch']) {
  test(`a call by ${library} carries the remaining milliseconds, only to a host that is named`, async () => {
    const { port } = peer.address() as AddressInfo
    const sent = async (host: string): Promise<Record<string, string>> => {
      const { status, body } = await request(`${server.url}/${library}?url=http://${host}:${port}/`)
      assert.equal(status, 200, body)
      return JSON.parse(body)
    }
    const named = await sent('127.0.0.1')
    const left = Number(named['request-timeout'])
    assert.ok(Number.isInteger(left) && left > 0 && left <= 30_000, String(left))
    const headersOfTime = (headers: object): string[] =>
      Object.keys(headers).filter((name) => /deadline|timeout/.test(name))
    assert.deepEqual(headersOfTime(named), ['request-timeout'])
    assert.deepEqual(headersOfTime(await sent('localhost')), [])
  })
}
