import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { type Outcome, request } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import type { LogLine } from '../../process/support/log-lines.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { within } from '../../process/support/until.ts'

/** Its SIGTERM listener says goodbye to every client that does not go away by itself. */
const APP = `
import { existsSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { WebSocketServer } from 'ws'
const streams = new Set()
const raw = new Set()
let answered = 0
const server = http.createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: hello\\n\\n')
    return streams.add(response)
  }
  const timer = setInterval(() => {
    if (request.url.startsWith('/slow') && !existsSync(request.url.slice(1))) return
    clearInterval(timer)
    answered++
    response.end('ok')
  }, 10)
})
const sockets = new WebSocketServer({ server })
sockets.on('connection', (socket, request) => (socket.path = request.url))
server.listen(process.env.PORT)
const smtp = net.createServer((socket) => {
  raw.add(socket)
  socket.on('close', () => raw.delete(socket))
  socket.on('error', () => {})
  socket.write('220 hello\\r\\n')
}).listen(process.env.RAW_PORT, () => console.log('raw server listens'))
process.on('SIGTERM', () => {
  console.log('SIGTERM after ' + answered + ' with ' + [streams.size, raw.size, sockets.clients.size])
  for (const response of streams) response.end('event: bye\\n\\n')
  for (const socket of raw) socket.end('421 bye\\r\\n')
  for (const socket of sockets.clients) {
    if (socket.path === '/closed') socket.close(4001)
    else socket.send('reconnect')
  }
  let open = 2
  const closed = () => --open === 0 && process.exit(0)
  smtp.close(closed)
  server.close(closed)
})
`

interface Client {
  /** Everything that it has received, once its connection is closed. */
  readonly received: Promise<string>
}

async function rawClient(port: number): Promise<Client> {
  const socket = net.connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const received = once(socket, 'close').then(() => text)
  await once(socket, 'data')
  return { received }
}

async function eventStream(url: string): Promise<Client> {
  const [response] = (await once(http.get(url, { agent: false }), 'response')) as [http.IncomingMessage]
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  response.on('error', () => {})
  const received = once(response, 'close').then(() => text)
  await once(response, 'data')
  return { received }
}

async function webSocket(url: string): Promise<Client> {
  const socket = new WebSocket(url.replace('http', 'ws'))
  const texts: string[] = []
  socket.on('message', (text) => texts.push(String(text)))
  const received = once(socket, 'close').then(([code]) => [...texts, code].join(' '))
  await once(socket, 'open')
  return { received }
}

/** Does not answer a close frame. Receives the bytes behind the head of the response, in hex. */
async function silentWebSocket(port: number): Promise<Client> {
  const socket = net.connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const received = once(socket, 'close').then(() => {
    const bytes = Buffer.concat(chunks)
    return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4).toString('hex')
  })
  const key = Buffer.alloc(16).toString('base64')
  const head = [
    'GET /closed HTTP/1.1',
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
  ]
  socket.write([...head, `Sec-WebSocket-Key: ${key}`, '', ''].join('\r\n'))
  await once(socket, 'data')
  return { received }
}

describe("the goodbye of an app's SIGTERM listener reaches its clients", () => {
  let server: TestServer
  let port: number
  before(async () => {
    port = await freePort()
    server = await startServer({
      files: { 'app.js': APP },
      settings: { workers: 1, upgradeGrace: '1s', keepAlive: '1s' },
      env: { RAW_PORT: String(port) },
    })
    await server.log(/^raw server listens$/)
  })
  after(() => server[Symbol.asyncDispose]())

  for (const how of ['reload', 'stop'] as const) {
    test(`on event streams, WebSockets and TCP connections, at a ${how}, after the requests in flight are answered, and is the last word`, async () => {
      const clients = await Promise.all([
        eventStream(`${server.url}/events`),
        rawClient(port),
        webSocket(server.url),
        silentWebSocket(server.port),
      ])
      const slow = request(`${server.url}/slow-${how}`)
      await server.until('it to be in flight', ({ workers }) => workers.some(({ inFlight }) => inFlight === 2))
      if (how === 'reload') assert.equal((await server.command('reload')).code, 0)
      else server.signal('SIGTERM')
      server.directory.write({ [`slow-${how}`]: '' })
      assert.equal((await slow).body, 'ok')
      const received = await within('the goodbyes', Promise.all(clients.map((client) => client.received)), 20_000)
      assert.deepEqual(received, [
        'data: hello\n\nevent: bye\n\n',
        '220 hello\r\n421 bye\r\n',
        'reconnect 1012',
        '88020fa1',
      ])
      await server.log(/^SIGTERM after 1 with 1,1,2$/)
      if (how === 'stop') assert.deepEqual(await server.exit, { code: 0, signal: null })
    })
  }
})

test('an app that exits in its SIGTERM listener closes its WebSockets with 1012', async () => {
  await using server = await startServer({
    files: {
      'app.js': `
import http from 'node:http'
import { WebSocketServer } from 'ws'
const server = http.createServer((request, response) => response.end('ok'))
new WebSocketServer({ server })
server.listen(process.env.PORT)
process.on('SIGTERM', () => process.exit(0))
`,
    },
    settings: { workers: 1 },
  })
  const { received } = await webSocket(server.url)
  server.signal('SIGTERM')
  assert.equal(await within('the close', received), '1012')
})

/** Holds every request, and answers `/held` in its SIGTERM listener, or exits there at once. */
const HOLDING = `
import http from 'node:http'
import { currentRequest } from '${import.meta.resolve('../../../src/index.ts')}'
const held = new Map()
http.createServer((request, response) => {
  currentRequest().allow('10m')
  held.set(request.url, response)
}).listen(process.env.PORT)
process.on('SIGTERM', () => {
  if (process.env.GOODBYE === 'exit') process.exit(0)
  held.get('/held').end('goodbye')
})
`

function holdingServer(goodbye: 'answer' | 'exit'): Promise<TestServer> {
  return startServer({
    files: { 'app.js': HOLDING },
    settings: {
      workers: 1,
      stallAction: 'report',
      requestTimeout: '500ms',
      drainTimeout: '500ms',
      upgradeGrace: '300ms',
      stopTimeout: '30s',
    },
    env: { GOODBYE: goodbye },
  })
}

const isShutdown =
  (route: string) =>
  ({ event, route: logged, outcome }: LogLine): boolean =>
    event === 'request' && logged === route && outcome === 'shutdown'

test('at drainTimeout an app may answer the requests that it holds, and the others get a 503', async () => {
  await using server = await holdingServer('answer')
  const answers = ['/held', '/forgotten'].map((path) => request(`${server.url}${path}`))
  await server.until('them to be held', ({ workers }) => workers[0]?.inFlight === 2)
  assert.equal((await server.command('reload')).code, 0)
  const [held, forgotten] = (await Promise.all(answers)) as [Outcome, Outcome]
  assert.deepEqual([held.status, held.body], [200, 'goodbye'])
  assert.equal(forgotten.status, 503)
  assert.equal(JSON.parse(forgotten.body).type, 'urn:punctual:error:shutting-down')
  await server.log(isShutdown('/forgotten'))
})

test('the requests held by an app that exits in its SIGTERM listener get a 503 that says why', async () => {
  await using server = await holdingServer('exit')
  const answers = ['/held', '/forgotten'].map((path) => request(`${server.url}${path}`))
  await server.until('them to be held', ({ workers }) => workers[0]?.inFlight === 2)
  server.signal('SIGTERM')
  for (const { status, body } of await Promise.all(answers)) {
    assert.equal(status, 503)
    assert.equal(JSON.parse(body).type, 'urn:punctual:error:shutting-down')
  }
  for (const path of ['/held', '/forgotten']) await server.log(isShutdown(path))
  assert.deepEqual(await server.exit, { code: 0, signal: null })
})
