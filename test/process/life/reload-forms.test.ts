import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { ENTRY_FORMS } from './entry-forms.ts'
import { MixedTraffic } from './mixed-traffic.ts'

/**
 * How many requests each app gets at least. `npm run soak` sets it, and then every form of entry is
 * reloaded; otherwise two apps are.
 */
const REQUESTS = Number(process.env.RELOAD_REQUESTS ?? 0)
const RELOADS = 2
/** For all requests of one app, in milliseconds. */
const LIMIT = 120_000

const STREAMED = Array.from({ length: 10 }, (_, index) => `part ${index};`).join('')
const SETTINGS = { workers: 2, upgradeGrace: '1s', stallReportAfter: '9s' }

/** Answers `/`, echoes at `/echo`, and takes 300 ms for `/stream`. */
const STREAMING_HANDLER = `
const serve = (request, response) => {
  if (request.url === '/echo') return request.pipe(response)
  if (request.url !== '/stream') return setTimeout(() => response.end('it works'), Math.random() * 5)
  let part = 0
  const timer = setInterval(() => {
    response.write('part ' + part++ + ';')
    if (part < 10) return
    clearInterval(timer)
    response.end()
  }, 30)
}`

interface StreamingApp {
  readonly what: string
  readonly source: string
  readonly isHttp2?: true
  readonly hasWebSockets?: true
  readonly isShort?: true
}

const STREAMING_APPS: readonly StreamingApp[] = [
  {
    what: 'a server with WebSockets',
    hasWebSockets: true,
    isShort: true,
    source: `
import http from 'node:http'
import { WebSocketServer } from 'ws'
${STREAMING_HANDLER}
const server = http.createServer(serve).listen(process.env.PORT)
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (text) => socket.send(String(text))))
`,
  },
  { what: 'an exported handler', source: `${STREAMING_HANDLER}\nexport default serve` },
  {
    what: 'an object with fetch',
    source: `
import { setTimeout as sleep } from 'node:timers/promises'
async function* parts() {
  for (let part = 0; part < 10; part++) {
    await sleep(30)
    yield new TextEncoder().encode('part ' + part + ';')
  }
}
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/echo') return new Response(await request.text())
    return new Response(pathname === '/stream' ? ReadableStream.from(parts()) : 'it works')
  },
}
`,
  },
  {
    what: 'the compatibility API of HTTP/2',
    isHttp2: true,
    source: `import http2 from 'node:http2'\n${STREAMING_HANDLER}\nhttp2.createServer(serve).listen(process.env.PORT)`,
  },
  {
    what: 'streams of HTTP/2',
    isHttp2: true,
    isShort: true,
    source: `
import http2 from 'node:http2'
const server = http2.createServer()
server.on('stream', (stream, headers) => {
  stream.on('error', () => {})
  stream.respond({ ':status': 200 })
  if (headers[':path'] !== '/stream') return stream.end('it works')
  let part = 0
  const timer = setInterval(() => {
    stream.write('part ' + part++ + ';')
    if (part < 10) return
    clearInterval(timer)
    stream.end()
  }, 30)
})
server.listen(process.env.PORT)
`,
  },
]

/** Reloads until there were enough reloads and requests. */
async function reloadUnder(traffic: MixedTraffic, server: TestServer): Promise<string> {
  await until('the clients to be served', () => traffic.total > 50)
  const end = performance.now() + LIMIT
  let reloads = 0
  while (reloads < RELOADS || (traffic.total < REQUESTS && performance.now() < end)) {
    const { code, stderr } = await server.command('reload')
    assert.equal(code, 0, stderr)
    reloads++
  }
  const { total } = traffic
  await until('some more requests', () => traffic.total > total + 50)
  await traffic.stop()
  assert.deepEqual(traffic.failed, {})
  assert.ok(traffic.total >= REQUESTS, `only ${traffic.total} requests in ${LIMIT} ms`)
  assert.deepEqual((await server.status()).restarts, {})
  return `${reloads} reloads, ${traffic.total} requests: ${JSON.stringify(traffic.answered)}`
}

describe('reloads fail no request, with streams in flight, of', () => {
  for (const { what, source, isHttp2, hasWebSockets } of STREAMING_APPS.filter(
    ({ isShort }) => isShort || REQUESTS > 0,
  )) {
    it(what, async (context) => {
      await using server = await startServer({ files: { 'app.mjs': source }, settings: SETTINGS })
      await using traffic = new MixedTraffic()
      const { url } = server
      if (isHttp2) {
        traffic.http2('HTTP/2', 3, 4, url, '/', 'it works')
        traffic.http2('streams', 2, 2, url, '/stream', STREAMED)
      } else {
        traffic.http('keep-alive', 6, url, 'it works', { keepAlive: true })
        traffic.http('close', 4, url, 'it works', { keepAlive: false })
        const post = { method: 'POST', body: 'posted' }
        traffic.http('POST', 3, `${url}/echo`, 'posted', { ...post, keepAlive: true })
        traffic.http('POST close', 2, `${url}/echo`, 'posted', { ...post, keepAlive: false })
        traffic.http('streams', 4, `${url}/stream`, STREAMED, { keepAlive: true })
        traffic.http('streams close', 2, `${url}/stream`, STREAMED, { keepAlive: false })
        if (hasWebSockets) traffic.webSockets('WebSocket', 3, url.replace('http', 'ws'))
      }
      context.diagnostic(await reloadUnder(traffic, server))
    })
  }

  for (const { what, files } of REQUESTS > 0 ? ENTRY_FORMS : []) {
    it(what, async (context) => {
      await using server = await startServer({ files, settings: SETTINGS })
      await using traffic = new MixedTraffic()
      traffic.http('keep-alive', 8, server.url, 'it works', { keepAlive: true })
      traffic.http('close', 6, server.url, 'it works', { keepAlive: false })
      context.diagnostic(await reloadUnder(traffic, server))
    })
  }
})
