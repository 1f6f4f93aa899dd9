import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'node:test'
import { WebSocket } from 'ws'
import { keepAliveClients, request, requests, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'

/**
 * `/slow` answers once the file `draining` exists, `/half` too but begins at once, `/hang` and
 * `/half-hang` never answer. `/waiting` counts them.
 */
const APP = {
  'app.js': `
import { existsSync } from 'node:fs'
import http from 'node:http'
const waiting = []
const server = http.createServer((request, response) => {
  if (request.url === '/waiting') return response.end(String(waiting.length))
  if (request.url === '/') return response.end('ok')
  if (request.url.startsWith('/half')) response.write('half, ')
  waiting.push(response)
  const timer = setInterval(() => {
    if (!existsSync('draining') || request.url.endsWith('hang')) return
    clearInterval(timer)
    response.end('late')
  }, 10)
})
server.listen(process.env.PORT)
`,
}

/** Waits until so many requests are inside the app. */
function waiting(server: TestServer, count: number): Promise<unknown> {
  return until(`${count} requests to wait`, async () => (await request(`${server.url}/waiting`)).body === String(count))
}

/** Short timeouts that satisfy the rules between them. */
const SHORT = {
  stallAction: 'report',
  requestTimeout: '1s',
  drainTimeout: '1s',
  upgradeGrace: '300ms',
  stopTimeout: '10s',
}

describe('a draining worker', () => {
  it('finishes the requests in flight, closes their connections, and SIGTERM ends with exit code 0', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1 } })
    using clients = await keepAliveClients(5, server.url)
    const kept = clients.all(`${server.url}/slow`)
    const begun = requests(5, `${server.url}/half`)
    await waiting(server, 10)
    server.signal('SIGTERM')
    await until('new clients to be refused', async () => (await request(server.url)).kind === 'refused')
    server.directory.write({ draining: '' })
    const answers = await Promise.all([...kept, ...begun])
    assert.deepEqual(tally(answers), { 200: 10 })
    assert.deepEqual([...new Set(answers.map(({ body }) => body))].toSorted(), ['half, late', 'late'])
    for (const answer of await Promise.all(kept)) assert.equal(answer.headers.connection, 'close')
    assert.deepEqual(await within('the server to stop', server.exit), { code: 0, signal: null })
    assert.ok(
      server.lines.every(({ level }) => level === 'info'),
      server.output,
    )
  })

  it('closes idle keep-alive connections at a stop', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1, keepAlive: '20s' } })
    const socket = net.connect(server.port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'data')
    server.signal('SIGTERM')
    await within('an orderly close', once(socket, 'end'))
    assert.equal((await within('the server to stop', server.exit, 15_000)).code, 0)
    socket.destroy()
  })

  it('keeps idle connections for one more request during a reload, but not at a stop', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1, keepAlive: '20s' } })
    using clients = await keepAliveClients(3, server.url)
    using quiet = await keepAliveClients(1, server.url)
    assert.equal((await server.command('reload')).code, 0)
    const old = await server.until('the old worker to drain', ({ workers }) =>
      workers.some(({ state }) => state === 'draining'),
    )
    const again = await Promise.all(clients.all(server.url))
    assert.deepEqual(
      again.map(({ status, reused, headers }) => [status, reused, headers.connection]),
      Array(3).fill([200, true, 'close']),
    )
    assert.equal(old.workers.length, 2)
    await server.until('one connection to be left', ({ workers }) => {
      return workers.some(({ state, connections }) => state === 'draining' && connections === 1)
    })
    assert.equal((await server.stop(15_000)).code, 0)
    quiet.close()
  })

  it('at the drain timeout answers 503 to unanswered requests and closes responses that have begun', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1, ...SHORT, keepAlive: '10s' } })
    using clients = await keepAliveClients(4, server.url)
    const half = request(`${server.url}/half-hang`)
    await waiting(server, 1)
    assert.equal((await server.command('reload')).code, 0)
    // The old worker drains. New requests on its connections have until the drain timeout.
    const late = await Promise.all(clients.all(`${server.url}/hang`))
    assert.deepEqual(tally(late), { 503: 4 })
    for (const { headers, body } of late) {
      assert.equal(headers['content-type'], 'application/problem+json')
      assert.equal(headers['retry-after'], '1')
      assert.equal((JSON.parse(body) as { title: string }).title, 'Server shutting down')
    }
    assert.equal((await half).kind, 'cut-short')
    const { restarts } = await server.until('the old worker to leave', ({ workers }) => workers.length === 1)
    assert.deepEqual(restarts, {})
  })

  it('closes WebSockets with 1012 after their grace period', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import http from 'node:http'
import { WebSocketServer } from 'ws'
const server = http.createServer((request, response) => response.end('ok'))
new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (text) => socket.send('echo ' + text)))
server.listen(process.env.PORT)
`,
      },
      settings: { workers: 1, upgradeGrace: '1s' },
    })
    const socket = new WebSocket(server.url.replace('http', 'ws'))
    const closed = once(socket, 'close')
    await once(socket, 'open')
    server.signal('SIGTERM')
    await server.log('stopping')
    socket.send('you')
    const [answer] = (await within('an answer during the grace', once(socket, 'message'))) as [Buffer]
    assert.equal(String(answer), 'echo you')
    const [code] = (await within('the close', closed)) as [number]
    assert.equal(code, 1012)
    assert.equal((await within('the server to stop', server.exit)).code, 0)
  })

  it('is killed at the stop timeout if it does not exit, which is counted and logged', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
process.on('SIGTERM', () => setInterval(() => {}, 1000))
export default (request, response) => response.end('ok')
`,
      },
      settings: { workers: 1, ...SHORT, stopTimeout: '1500ms' },
    })
    const { id } = await server.worker()
    assert.equal((await server.command('reload')).code, 0)
    const { restarts } = await server.until('it to exit', ({ workers }) => workers.every((worker) => worker.id !== id))
    assert.deepEqual(restarts, { 'stop-timeout': 1 })
    const line = await server.log('worker-killed')
    const emergencyResponses = { inFlight: 0, unread: 0, closed: 0 }
    assert.partialDeepStrictEqual(line, { worker: id, reason: 'stop-timeout', emergencyResponses })
  })

  it('exits by itself if the SIGTERM listener of the app only closes its resources', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import http from 'node:http'
const timer = setInterval(() => {}, 1000)
const server = http.createServer((request, response) => response.end('ok')).listen(process.env.PORT)
process.on('SIGTERM', () => { clearInterval(timer); server.close(() => console.log('closed')) })
`,
      },
      settings: { workers: 2 },
    })
    assert.equal((await server.stop(15_000)).code, 0)
    assert.equal(server.lines.filter(({ msg }) => msg === 'closed').length, 2)
    assert.ok(
      server.lines.every(({ event, outcome }) => event !== 'worker-killed' && outcome !== 'killed'),
      server.output,
    )
  })
})
