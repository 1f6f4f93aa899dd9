import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { Load } from '../../process/life/load.ts'
import { request, wordOf } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { until, within } from '../../process/support/until.ts'

/**
 * Sets `Connection: keep-alive` in each of the ways in which apps and proxy libraries do. `/hold`
 * is answered, and `/stream` ends, once the file `draining` exists.
 */
const APP = {
  'app.js': `
import { existsSync } from 'node:fs'
import http from 'node:http'
const whenDraining = (run) => {
  const timer = setInterval(() => {
    if (!existsSync('draining')) return
    clearInterval(timer)
    run()
  }, 10)
}
const KEEP = { Connection: 'keep-alive', 'Keep-Alive': 'timeout=60' }
http.createServer((request, response) => {
  switch (request.url) {
    case '/set-header':
      for (const [name, value] of Object.entries(KEEP)) response.setHeader(name, value)
      return response.end('ok')
    case '/write-head':
      response.writeHead(200, { ...KEEP, 'content-length': 2 })
      return response.end('ok')
    case '/write-head-early':
      response.writeHead(200, { ...KEEP, 'content-length': 2 })
      return whenDraining(() => response.end('ok'))
    case '/raw-headers':
      response.writeHead(200, Object.entries({ ...KEEP, 'Content-Length': '2' }).flat())
      return response.end('ok')
    case '/removed':
      response.removeHeader('connection')
      return response.end('ok')
    case '/hold':
      return whenDraining(() => response.end('held'))
    case '/stream':
      response.write('begun, ')
      return whenDraining(() => response.end('ended'))
    default: {
      let length = 0
      request.on('data', (chunk) => { length += chunk.length })
      request.on('end', () => response.end(String(length)))
    }
  }
}).listen(process.env.PORT)
`,
}
const WAYS = ['/set-header', '/write-head', '/raw-headers', '/removed'] as const

/** A connection on which requests are written as text. */
class RawClient {
  readonly socket: net.Socket
  readonly closed: Promise<unknown>
  text = ''

  constructor(port: number) {
    this.socket = net.connect(port, '127.0.0.1')
    this.socket.setEncoding('utf8').on('data', (chunk: string) => {
      this.text += chunk
    })
    this.socket.on('error', () => {})
    this.closed = once(this.socket, 'close')
  }

  send(target: string, method = 'GET', body = ''): void {
    const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`
    this.socket.write(`${method} ${target} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n${body}`)
  }

  /** Sends a request as soon as this text has been received. */
  sendAfter(text: string, target: string, method: string, body: string): void {
    const look = (): void => {
      if (!this.text.includes(text)) return
      this.socket.off('data', look)
      this.text = ''
      this.send(target, method, body)
    }
    this.socket.on('data', look)
  }

  received(text: string): Promise<unknown> {
    return until(`${text} in ${this.text}`, () => this.text.includes(text))
  }
}

describe('the response of a draining worker closes its connection, though the app sets keep-alive', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({ files: APP, settings: { workers: 1, keepAlive: '2m' } })
  })
  after(() => server[Symbol.asyncDispose]())

  test('in each way to set the header', async () => {
    const clients = [...WAYS, '/write-head-early'].map((path) => ({ path, client: new RawClient(server.port) }))
    for (const { client } of clients) client.send('/')
    await Promise.all(clients.map(({ client }) => client.received('\r\n\r\n0')))
    for (const { client } of clients) client.text = ''
    const early = clients.at(-1)?.client as RawClient
    early.send('/write-head-early')
    await server.until('it to be in flight', ({ workers }) => workers[0]?.inFlight === 1)
    assert.equal((await server.command('reload')).code, 0)
    await server.until('the old worker to drain', ({ workers }) => workers.some(({ state }) => state === 'draining'))
    server.directory.write({ draining: '' })
    for (const { path, client } of clients) {
      if (client !== early) client.send(path)
      await within(`the close after ${path}`, client.closed)
      assert.match(client.text, /^HTTP\/1\.1 200 OK\r\n/, path)
      assert.match(client.text, /\r\nConnection: close\r\n/i, path)
      assert.doesNotMatch(client.text, /keep-alive/i, path)
    }
  })

  test('so a reload loses no request', async () => {
    const loads = WAYS.map((path) => new Load(`${server.url}${path}`, 10, true))
    const { generation } = await server.status()
    await until('the load to run', () => loads.every(({ total }) => total > 50))
    assert.equal((await server.command('reload')).code, 0)
    await server.until('the new generation to be alone', ({ workers }) =>
      workers.every((worker) => worker.generation === generation + 1),
    )
    for (const { counts, faults } of await Promise.all(loads.map((load) => load.stop()))) {
      assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
    }
  })
})

describe('while everything stops', () => {
  test('a connection whose long response has just ended may send its next request, and new clients are refused', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 2, keepAlive: '30s' } })
    const held = new RawClient(server.port)
    held.send('/hold')
    const clients = Array.from({ length: 20 }, () => new RawClient(server.port))
    for (const client of clients) client.send('/stream')
    await Promise.all(clients.map((client) => client.received('begun')))
    server.signal('SIGTERM')
    await until('new clients to be refused', async () => (await request(server.url)).kind === 'refused')
    for (const client of clients) client.sendAfter('ended', '/', 'POST', 'four')
    server.directory.write({ draining: '' })
    await held.received('held')
    await within('the closes', Promise.all(clients.map((client) => client.closed)))
    for (const { text } of clients) assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nConnection: close\r\n[\s\S]*4/)
    assert.deepEqual(await server.exit, { code: 0, signal: null })
  })

  test('new clients are refused also while a SIGTERM listener of the app waits', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import http from 'node:http'
const server = http.createServer((request, response) => response.end('ok')).listen(process.env.PORT)
process.on('SIGTERM', () => {
  process.on('SIGUSR2', () => server.close(() => process.exit(0)))
  setInterval(() => {}, 1000)
  console.log('told')
})
`,
      },
      settings: { workers: 1 },
    })
    const { pid } = await server.worker()
    server.signal('SIGTERM')
    await server.log(/^told$/)
    assert.equal(wordOf(await request(server.url)), 'refused')
    process.kill(pid ?? 0, 'SIGUSR2')
    assert.deepEqual(await server.exit, { code: 0, signal: null })
  })

  test('the workers serve on for stopDelay, and /readyz already answers 503', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1, stopDelay: '2s' } })
    server.signal('SIGTERM')
    await server.log('stopping')
    assert.equal((await request(`${server.admin}/readyz`)).status, 503)
    assert.equal((await request(server.url)).body, '0')
    await until('new clients to be refused', async () => (await request(server.url)).kind === 'refused')
    assert.deepEqual(await server.exit, { code: 0, signal: null })
  })
})
