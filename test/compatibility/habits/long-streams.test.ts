import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import { getOn } from '../../process/support/http2-client.ts'
import type { LogLine } from '../../process/support/log-lines.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const entry = join(import.meta.dirname, 'apps/long-streams.mjs')

const pause = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time))

/** Sends a body in parts, and returns the response as text. */
async function send(server: TestServer, path: string, part: Buffer, parts: number, time: number): Promise<string> {
  const socket = net.connect(server.port, '127.0.0.1').setNoDelay()
  const received = textOf(socket)
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${part.length * parts}\r\n\r\n`,
  )
  for (let count = 0; count < parts && socket.writable && !socket.readableEnded; count++) {
    socket.write(part)
    await pause(time)
  }
  return received
}

async function textOf(socket: net.Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('close', resolve))
  return text
}

/** Reads a response at so many bytes a second; resolves with the number of bytes when it ends. */
async function readSlowly(server: TestServer, path: string, rate: number): Promise<number> {
  const socket = net.connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  let length = 0
  const timer = setInterval(() => {
    const part: Buffer | null = socket.read(Math.min(rate / 20, socket.readableLength))
    length += part?.length ?? 0
  }, 50)
  socket.on('readable', () => {})
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(timer)
  return length
}

const ofRequest =
  (route: string) =>
  (line: LogLine): boolean =>
    line.event === 'request' && line.route === route

describe('with a requestTimeout of 3 s', { concurrency: true }, () => {
  let server: TestServer
  let http2Port: number
  before(async () => {
    const settings = { workers: 1, requestTimeout: '3s', stallAction: 'report', drainTimeout: '20s' }
    http2Port = await freePort()
    server = await startServer({ entry, settings, env: { HTTP2_PORT: String(http2Port) } })
  })
  after(() => server.stop())

  for (const [what, path, length] of [
    ['a stream of events', '/events', 39],
    ['a download that the app writes slowly', '/download', 40_003],
    ['a response of which only the head was sent', '/quiet', 3],
    ['a stream of events whose first event comes late', '/first-event-late', 9],
    ['a response before which the app says that it is still at work (102)', '/processing', 3],
    ['a stream of lines whose first line comes late', '/first-line-late', 3],
  ] as const) {
    it(`completes ${what} after 5 s`, async () => {
      const { kind, status, body } = await request(`${server.url}${path}`)
      assert.deepEqual([kind, status, body.length], ['answer', 200, length])
    })
  }

  it('completes a response over HTTP/2 before which the app says that it is still at work (102)', async () => {
    const session = http2.connect(`http://127.0.0.1:${http2Port}`)
    const { status, body } = await getOn(session, '/')
    session.close()
    assert.deepEqual([status, body], [200, 'end'])
  })

  it('answers 503 to a request that hangs after a 102, and to one of which only hints came in time (103)', async () => {
    const answers = await Promise.all(
      ['/processing-hang', '/hints-hang'].map((path) => request(`${server.url}${path}`)),
    )
    for (const { status } of answers) assert.equal(status, 503)
  })

  for (const path of ['/compressed', '/compressed-pipe']) {
    it(`completes a response that a compressor holds back for 5 s: ${path}`, async () => {
      const response = await fetch(`${server.url}${path}`)
      assert.deepEqual([response.status, await response.text()], [200, 'partpartpartpartend'])
    })
  }

  it('answers 503 to requests that hang before anything is compressed', async () => {
    const paths = ['/compressed-hang', '/compressed-pipe-hang']
    for (const { status } of await Promise.all(paths.map((path) => request(`${server.url}${path}`))))
      assert.equal(status, 503)
  })

  it('completes a response of 60 MiB for a client that takes 5 s to read it', async () => {
    assert.ok((await readSlowly(server, '/large', 12 * 1024 * 1024)) > 60 * 1024 * 1024)
  })

  it('completes an upload of 5 s, and gives its handler the full time after that', async () => {
    assert.match(await send(server, '/upload', Buffer.alloc(1_000), 10, 500), /^HTTP\/1\.1 200 .*\r\n\r\n10000$/s)
  })

  it('completes an upload of 5 s that the app does not read all the time', async () => {
    assert.match(await send(server, '/slow-reader', Buffer.alloc(1_000), 10, 500), /^HTTP\/1\.1 200 .*\r\n\r\n10000$/s)
  })

  it('answers 408 to a client that sends one byte a second', async () => {
    assert.match(await send(server, '/upload', Buffer.alloc(1), 30, 1_000), /^HTTP\/1\.1 408 /)
    const line = await server.log((one) => ofRequest('/upload')(one) && one.status === 408)
    assert.deepEqual([line.outcome, line.endedBy], ['timed-out', 'minRequestRate'])
  })

  it('answers 503 in time to a request whose body the app does not read', async () => {
    assert.match(await send(server, '/unread', Buffer.alloc(1_000_000), 4, 100), /^HTTP\/1\.1 503 /)
    const { durationMs } = await server.log(ofRequest('/unread'))
    assert.ok(Number(durationMs) < 5_000, `${durationMs} ms`)
  })

  it('answers 503 to a request that is not answered', async () => {
    assert.equal((await request(`${server.url}/hang`)).status, 503)
  })

  it('lets a route choose its deadline: a shorter one also ends a response that has begun', async () => {
    const [short, long] = await Promise.all([request(`${server.url}/short`), request(`${server.url}/long`)])
    assert.equal(short.kind, 'cut-short')
    assert.deepEqual([long.status, long.body], [200, 'end'])
    assert.equal((await server.log(ofRequest('/short'))).outcome, 'timed-out')
  })

  it('gives a second request on the same connection its own deadline', async () => {
    const socket = net.connect(server.port, '127.0.0.1')
    const received = textOf(socket)
    socket.write('GET /download HTTP/1.1\r\nHost: x\r\n\r\n')
    while (!String(await once(socket, 'data')).endsWith('0\r\n\r\n'));
    socket.write('GET /hang HTTP/1.1\r\nHost: x\r\n\r\n')
    assert.match(await received, /^HTTP\/1\.1 200 .*HTTP\/1\.1 503 /s)
  })
})

describe('with a minResponseRate of 1 MB/s and a streamIdleTimeout of 1 s', { concurrency: true }, () => {
  let server: TestServer
  before(async () => {
    server = await startServer({
      entry,
      settings: {
        workers: 1,
        requestTimeout: '2s',
        stallAction: 'report',
        drainTimeout: '20s',
        minResponseRate: 1_000_000,
        streamIdleTimeout: '1s',
      },
    })
  })
  after(() => server.stop())

  it('closes the connection of a client that does not read', async () => {
    const socket = net.connect(server.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write('GET /unread-download HTTP/1.1\r\nHost: x\r\n\r\n')
    const { outcome, endedBy, truncated } = await server.log(ofRequest('/unread-download'))
    assert.deepEqual([outcome, endedBy, truncated], ['timed-out', 'minResponseRate', true])
    socket.destroy()
  })

  it('serves a client that reads steadily at a multiple of that rate', async () => {
    assert.ok((await readSlowly(server, '/large', 6_000_000)) > 60 * 1024 * 1024)
  })

  it('closes a response of which the app writes nothing, unless its route has a deadline of its own', async () => {
    const [idle, allowed] = await Promise.all([request(`${server.url}/idle`), request(`${server.url}/idle-allowed`)])
    assert.deepEqual([idle.kind, idle.body], ['cut-short', 'begun'])
    assert.deepEqual([allowed.kind, allowed.body], ['answer', 'begunend'])
    assert.equal((await server.log(ofRequest('/idle'))).endedBy, 'streamIdleTimeout')
  })
})
