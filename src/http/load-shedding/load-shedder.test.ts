import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import net, { type AddressInfo } from 'node:net'
import { after, afterEach, describe, test } from 'node:test'
import { request as ask, keepAliveClients, type Outcome } from '../../../test/process/support/client.ts'
import { until, within } from '../../../test/process/support/until.ts'
import { patchServers } from '../../patches/http-server.ts'
import { ShedError } from '../../resilience/abort-reason.ts'
import { monotonicNow } from '../../resilience/clock.ts'
import { ms, UNBOUNDED } from '../../resilience/duration.ts'
import { rawResponse } from '../raw-response.ts'
import { timeOutRequest } from '../respond-instead.ts'
import { type RequestScope, runningRequest } from '../scope.ts'
import { Traffic } from '../traffic.ts'
import { addLoadShedding, type LoadShedder, type LoadSheddingSettings, PriorityRoutes } from './load-shedder.ts'

// The prototypes are patched once per process, as in a worker.
const traffic = new Traffic(undefined, { requestTimeout: UNBOUNDED, maxProxyQueueTime: ms(60_000) })
const expired = rawResponse('PUNCTUAL_REQUEST_TIMEOUT')
traffic.deadlines.onTimeout = (scope) => timeOutRequest(traffic, scope, expired)
patchServers(traffic)

const LIMITS: LoadSheddingSettings = {
  loadShedding: 'on',
  maxConcurrentRequests: 1,
  maxQueuedRequests: 10,
  queueTarget: ms(30_000),
  queueInterval: ms(60_000),
  priorityRoutes: ['/health'],
}

/** Scopes that have ended, in order. */
const ended: RequestScope[] = []
function withLimits(limits: Partial<LoadSheddingSettings> = {}): LoadShedder {
  ended.length = 0
  traffic.onEnded = (scope) => void ended.push(scope)
  return addLoadShedding(traffic, { ...LIMITS, ...limits })
}

/** A server whose handler responds on demand. */
class Held {
  readonly server: net.Server
  readonly begun: string[] = []
  readonly scopes: (RequestScope | undefined)[] = []
  readonly #responses = new Map<string, http.ServerResponse>()

  constructor(make: (listener: http.RequestListener) => net.Server = (listener) => http.createServer(listener)) {
    this.server = make((request, response) => {
      const url = request.url ?? ''
      this.begun.push(url)
      this.scopes.push(runningRequest())
      this.#responses.set(url, response)
      if (url.startsWith('/health')) response.end('well')
    }).listen(0, '127.0.0.1')
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get(path: string, options: Parameters<typeof ask>[1] = {}): Promise<Outcome> {
    return ask(`http://127.0.0.1:${this.port}${path}`, options)
  }

  /** Sends a request, and waits until it has been read. */
  async send(path: string, options: Parameters<typeof ask>[1] = {}): Promise<{ outcome: Promise<Outcome> }> {
    const before = traffic.table.requests
    const outcome = this.get(path, options)
    await until(`${path} to be read`, () => traffic.table.requests > before)
    return { outcome }
  }

  answer(path: string): void {
    this.#responses.get(path)?.end(`answer to ${path}`)
  }
}

const servers: net.Server[] = []
async function held(make?: (listener: http.RequestListener) => net.Server): Promise<Held> {
  const server = new Held(make)
  servers.push(server.server)
  await once(server.server, 'listening')
  return server
}

afterEach(async () => {
  await until('all requests to have ended', () => traffic.inFlight.size === 0)
  assert.equal(traffic.table.waiting, 0, 'no request is queued')
})

after(() => {
  for (const server of servers) {
    server.close()
    if (server instanceof http.Server) server.closeAllConnections()
  }
})

describe('the request queue', () => {
  test('starts as many requests as may run, and the others in order of arrival', async () => {
    withLimits({ maxConcurrentRequests: 2 })
    const server = await held()
    const sent = []
    for (const path of ['/1', '/2', '/3', '/4']) sent.push(await server.send(path))
    assert.deepEqual(server.begun, ['/1', '/2'])
    assert.equal(traffic.table.waiting, 2)
    server.answer('/2')
    await until('the third to be let in', () => server.begun.length === 3)
    server.answer('/1')
    await until('the fourth to be let in', () => server.begun.length === 4)
    assert.deepEqual(server.begun, ['/1', '/2', '/3', '/4'])
    for (const path of server.begun) server.answer(path)
    for (const { outcome } of sent) assert.equal((await outcome).status, 200)
  })

  test('a queued request runs in its own scope and context, and the wait is recorded', async () => {
    withLimits()
    const store = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const server = await held((listener) =>
      http.createServer((request, response) => {
        seen.push(store.getStore())
        store.run(request.url ?? '', () => listener(request, response))
      }),
    )
    const first = await server.send('/1')
    const second = await server.send('/2')
    server.answer('/1')
    await until('the second to be let in', () => server.begun.length === 2)
    server.answer('/2')
    await Promise.all([first.outcome, second.outcome])
    assert.deepEqual(seen, [undefined, undefined])
    assert.deepEqual(
      server.scopes.map((scope) => scope?.request.url),
      ['/1', '/2'],
    )
    assert.deepEqual(
      server.scopes[1]?.waits.recorded.map(({ name, outcome }) => ({ name, outcome })),
      [{ name: 'request queue', outcome: 'ok' }],
    )
    assert.equal(server.scopes[0]?.hasWaited, false)
    assert.equal(runningRequest(), undefined)
  })

  test('a request that finds the queue full is shed at once, and its connection stays open', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held()
    const first = await server.send('/1')
    const second = await server.send('/2')
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    const shed = await server.get('/3', { agent })
    assert.equal(shed.status, 503)
    assert.equal(shed.headers['content-type'], 'application/problem+json')
    assert.match(String(shed.headers['retry-after']), /^\d+$/)
    assert.equal(JSON.parse(shed.body).type, 'urn:punctual:error:shed')
    const head = await server.get('/4', { agent, method: 'HEAD' })
    assert.deepEqual([head.status, head.body, head.reused], [503, '', true])
    assert.equal(ended.at(-1)?.forcedOutcome, 'shed')
    assert.ok(ended.at(-1)?.reason instanceof ShedError)
    server.answer('/1')
    await until('the second to be let in', () => server.begun.length === 2)
    server.answer('/2')
    await Promise.all([first.outcome, second.outcome])
    const again = await server.get('/health', { agent })
    assert.deepEqual([again.status, again.reused], [200, true])
    agent.destroy()
  })

  test('priority routes are not queued', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held()
    const waiting = [await server.send('/1'), await server.send('/2')]
    assert.equal((await server.get('/health?x')).body, 'well')
    assert.equal((await server.get('/health/db')).body, 'well')
    assert.equal((await server.get('/healthcare')).status, 503)
    server.answer('/1')
    await until('the second to be let in', () => server.begun.includes('/2'))
    server.answer('/2')
    for (const { outcome } of waiting) assert.equal((await outcome).status, 200)
  })

  test('a client that disconnects while queued is not counted as shed, and its handler is not called', async () => {
    withLimits()
    const server = await held()
    const first = await server.send('/1')
    const client = net.connect(server.port, '127.0.0.1')
    client.write('GET /left HTTP/1.1\r\nhost: x\r\n\r\n')
    await until('it to wait', () => traffic.table.waiting === 1)
    client.destroy()
    await until('it to be gone', () => ended.length === 1)
    assert.equal(ended[0]?.forcedOutcome, 'client-disconnected')
    assert.equal(ended[0]?.waits.recorded[0]?.outcome, 'aborted')
    const third = await server.send('/3')
    server.answer('/1')
    await until('the third to be let in', () => server.begun.length === 2)
    server.answer('/3')
    await Promise.all([first.outcome, third.outcome])
    assert.deepEqual(server.begun, ['/1', '/3'])
  })

  test('a request whose deadline passes while queued times out, and its open waits are recorded', async () => {
    withLimits()
    const server = await held()
    const first = await server.send('/1')
    const late = await server.get('/late', { headers: { 'request-timeout': '50' } })
    assert.equal(late.status, 503)
    assert.equal(JSON.parse(late.body).type, 'urn:punctual:error:request-timeout')
    assert.equal(ended[0]?.forcedOutcome, 'timed-out')
    assert.deepEqual(
      ended[0]?.waitsAtTimeout?.map(({ name }) => name),
      ['request queue'],
    )
    server.answer('/1')
    await first.outcome
    assert.deepEqual(server.begun, ['/1'])
  })
})

describe('a shed request', () => {
  test('that is still sending its body is answered, and the connection can be reused', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held()
    const waiting = [await server.send('/1'), await server.send('/2')]
    const client = net.connect(server.port, '127.0.0.1').setEncoding('utf8')
    let text = ''
    client.on('data', (chunk: string) => {
      text += chunk
    })
    client.write('POST /3 HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\nbegin')
    await until('the answer', () => text.includes('urn:punctual:error:shed'))
    client.write('x'.repeat(200_000 - 5))
    client.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n')
    await until('the answer to the next', () => text.includes('well'))
    assert.match(text, /^HTTP\/1\.1 503 /)
    client.destroy()
    server.answer('/1')
    await until('the second to be let in', () => server.begun.includes('/2'))
    server.answer('/2')
    await Promise.all(waiting.map(({ outcome }) => outcome))
  })

  test('that never sends the rest of its body gets its connection closed', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held()
    const waiting = [await server.send('/1'), await server.send('/2')]
    const client = net.connect(server.port, '127.0.0.1').resume()
    const closed = once(client, 'close')
    client.write('POST /3 HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\nbegin')
    await within('the connection to be closed', closed)
    server.answer('/1')
    await until('the second to be let in', () => server.begun.includes('/2'))
    server.answer('/2')
    await Promise.all(waiting.map(({ outcome }) => outcome))
  })

  test('that is pipelined behind another is answered in order', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held()
    const first = await server.send('/1')
    const client = net.connect(server.port, '127.0.0.1').setEncoding('utf8')
    let text = ''
    client.on('data', (chunk: string) => {
      text += chunk
    })
    client.write('GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\n\r\n')
    await until('both to be read', () => traffic.inFlight.size === 3)
    server.answer('/1')
    await until('the first to be let in', () => server.begun.includes('/a'))
    server.answer('/a')
    await until('both answers', () => text.includes('urn:punctual:error:shed'))
    assert.ok(text.indexOf('answer to /a') < text.indexOf('urn:punctual:error:shed'), text)
    client.destroy()
    await first.outcome
  })

  test('with Expect: 100-continue does not get 100', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held()
    server.server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
      response.writeContinue()
      server.server.emit('request', request, response)
    })
    const expects = { method: 'POST', headers: { expect: '100-continue' } }
    const waiting = [await server.send('/1'), await server.send('/2', { ...expects, body: 'two' })]
    const client = net.connect(server.port, '127.0.0.1').setEncoding('utf8')
    let text = ''
    client.on('data', (chunk: string) => {
      text += chunk
    })
    client.write('POST /3 HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n')
    await until('the answer', () => text.includes('urn:punctual:error:shed'))
    assert.match(text, /^HTTP\/1\.1 503 /)
    client.destroy()
    server.answer('/1')
    await until('the one that waited to be let in', () => server.begun.includes('/2'))
    server.answer('/2')
    for (const { outcome } of waiting) assert.equal((await outcome).status, 200)
  })

  test('over HTTP/2 is answered on its stream, and the session stays open', async () => {
    withLimits({ maxQueuedRequests: 1 })
    const server = await held((listener) => http2.createServer(listener as never))
    const session = http2.connect(`http://127.0.0.1:${server.port}`)
    const get = (
      path: string,
      more: http2.OutgoingHttpHeaders = {},
    ): { status: Promise<unknown>; stream: http2.ClientHttp2Stream } => {
      const stream = session.request({ ':path': path, ...more }, { endStream: more[':method'] === undefined })
      stream.resume()
      return { stream, status: once(stream, 'response').then(([headers]) => headers[':status']) }
    }
    const first = get('/1')
    await until('the first to be let in', () => server.begun.length === 1)
    const second = get('/2')
    await until('the second to wait', () => traffic.table.waiting === 1)
    const upload = get('/3', { ':method': 'POST' })
    assert.equal(await upload.status, 503)
    await within('its stream to be closed', once(upload.stream, 'close'))
    server.answer('/1')
    assert.equal(await first.status, 200)
    await until('the second to be let in', () => server.begun.length === 2)
    assert.equal(server.scopes[1]?.request.url, '/2')
    server.answer('/2')
    assert.equal(await second.status, 200)
    session.close()
  })
})

/** The header of a proxy for a request that was queued there for this long. */
const waitedFor = (milliseconds: number): { headers: http.OutgoingHttpHeaders } => ({
  headers: { 'x-request-start': `t=${Date.now() - milliseconds}` },
})

describe('overload', () => {
  test('the newest request is started first, and those that waited too long are shed even if none ends', async () => {
    const shedder = withLimits({ queueTarget: ms(20_000), queueInterval: ms(1_500), maxQueuedRequests: 4 })
    const server = await held()
    const first = await server.send('/1')
    // Between the target and twice the target; CoDel has not seen it yet.
    const old = await server.send('/old', waitedFor(25_000))
    await until('overload to be found', () => {
      shedder.loopTurned(0)
      return traffic.table.overloaded
    })
    assert.equal((await old.outcome).status, 503, 'by the law')
    const older = await server.send('/older', waitedFor(45_000))
    const waiting = []
    for (const path of ['/2', '/3', '/4']) waiting.push(await server.send(path))
    shedder.loopTurned(0)
    assert.equal((await older.outcome).status, 503, 'at once')
    assert.equal(traffic.table.waiting, 3)
    for (const path of ['/1', '/4', '/3']) {
      const { length } = server.begun
      server.answer(path)
      await until(`the next after ${path}`, () => server.begun.length > length)
    }
    assert.deepEqual(server.begun, ['/1', '/4', '/3', '/2'])
    server.answer('/2')
    for (const { outcome } of [first, ...waiting]) assert.equal((await outcome).status, 200)
    await until('overload to be over', () => {
      shedder.loopTurned(0)
      return !traffic.table.overloaded
    })
  })

  test('a full queue sheds the oldest', async () => {
    const shedder = withLimits({ queueTarget: ms(20_000), queueInterval: ms(1_500), maxQueuedRequests: 2 })
    const server = await held()
    const first = await server.send('/1')
    const old = await server.send('/old', waitedFor(25_000))
    await until('overload to be found', () => {
      shedder.loopTurned(0)
      return traffic.table.overloaded
    })
    await old.outcome
    const [second, third, fourth] = [await server.send('/2'), await server.send('/3'), await server.send('/4')]
    assert.equal((await second.outcome).status, 503)
    server.answer('/1')
    await until('the newest to be let in', () => server.begun.length === 2)
    server.answer('/4')
    await until('the last to be let in', () => server.begun.length === 3)
    server.answer('/3')
    for (const { outcome } of [first, third, fourth]) assert.equal((await outcome).status, 200)
  })

  test('a loop that was blocked for an interval is overload, and the next requests are shed', async () => {
    const shedder = withLimits({ maxConcurrentRequests: UNBOUNDED, queueTarget: ms(50), queueInterval: ms(200) })
    const server = await held((listener) =>
      http.createServer((request, response) => {
        if (request.url?.startsWith('/health') === true) return listener(request, response)
        const end = performance.now() + 50
        while (performance.now() < end);
        response.end('done')
      }),
    )
    // As the heartbeat of a worker does.
    let expected = monotonicNow() + 50
    const turning = setInterval(() => {
      const now = monotonicNow()
      const lag = now - expected
      expected = now + 50
      traffic.deadlines.loopTurned(lag, expected)
      shedder.loopTurned(lag)
    }, 50)
    const clients = await keepAliveClients(20, `http://127.0.0.1:${server.port}/health`)
    const statuses: number[] = []
    for (let wave = 0; wave < 3; wave++) {
      const outcomes = await Promise.all(clients.all(`http://127.0.0.1:${server.port}/spin`))
      statuses.push(...outcomes.map(({ status }) => status))
    }
    clients.close()
    clearInterval(turning)
    traffic.deadlines.loopTurned(0, Number.POSITIVE_INFINITY)
    assert.ok(statuses.includes(503), statuses.join(' '))
    assert.ok(statuses.includes(200), statuses.join(' '))
    await until('overload to be over', () => {
      shedder.loopTurned(0)
      return !traffic.table.overloaded
    })
  })
})

test('with dry-run, requests that would be shed are counted, and none is shed', async () => {
  withLimits({ loadShedding: 'dry-run', maxQueuedRequests: 1 })
  const server = await held()
  const sent = []
  const before = traffic.table.wouldBeShed
  for (const path of ['/1', '/2', '/3', '/4', '/health']) sent.push(await server.send(path))
  assert.deepEqual(server.begun, ['/1', '/2', '/3', '/4', '/health'])
  assert.equal(traffic.table.wouldBeShed - before, 2)
  for (const path of server.begun.slice(0, 4)) server.answer(path)
  for (const { outcome } of sent) assert.equal((await outcome).status, 200)
})

test('with off, every request is started, and none is counted', async () => {
  withLimits({ loadShedding: 'off', maxQueuedRequests: 1 })
  const server = await held()
  const sent = []
  const before = traffic.table.wouldBeShed
  for (const path of ['/1', '/2', '/3', '/4']) sent.push(await server.send(path))
  assert.deepEqual(server.begun, ['/1', '/2', '/3', '/4'])
  assert.equal(traffic.table.wouldBeShed, before)
  for (const path of server.begun) server.answer(path)
  for (const { outcome } of sent) assert.equal((await outcome).status, 200)
})

test('changed to off or dry-run, it starts queued requests; changed to on, it queues again', async () => {
  for (const loadShedding of ['off', 'dry-run'] as const) {
    const limits: { -readonly [Name in keyof LoadSheddingSettings]: LoadSheddingSettings[Name] } = { ...LIMITS }
    ended.length = 0
    traffic.onEnded = (scope) => void ended.push(scope)
    const shedder = addLoadShedding(traffic, limits)
    const server = await held()
    const sent = []
    for (const path of ['/1', '/2', '/3']) sent.push(await server.send(path))
    assert.deepEqual(server.begun, ['/1'])
    limits.loadShedding = loadShedding
    shedder.settingsChanged()
    await until('all to be let in', () => server.begun.length === 3)
    assert.equal(traffic.table.waiting, 0)
    sent.push(await server.send('/4'))
    assert.deepEqual(server.begun, ['/1', '/2', '/3', '/4'])
    limits.loadShedding = 'on'
    shedder.settingsChanged()
    sent.push(await server.send('/5'))
    assert.equal(server.begun.length, 4)
    // A higher limit applies, too.
    limits.maxConcurrentRequests = 5
    shedder.settingsChanged()
    await until('the fifth to be let in', () => server.begun.length === 5)
    for (const path of server.begun) server.answer(path)
    for (const { outcome } of sent) assert.equal((await outcome).status, 200)
  }
})

test('changed priority routes apply to the next request', async () => {
  const limits: { -readonly [Name in keyof LoadSheddingSettings]: LoadSheddingSettings[Name] } = { ...LIMITS }
  const shedder = addLoadShedding(traffic, limits)
  const server = await held()
  const one = await server.send('/1')
  const two = await server.send('/2')
  limits.priorityRoutes = ['/urgent']
  shedder.settingsChanged()
  const urgent = await server.send('/urgent')
  assert.deepEqual(server.begun, ['/1', '/urgent'])
  for (const path of ['/1', '/urgent']) server.answer(path)
  await until('all to be let in', () => server.begun.length === 3)
  server.answer('/2')
  for (const { outcome } of [one, two, urgent]) assert.equal((await outcome).status, 200)
})

test('a priority route matches its path and everything below it, not other paths with the same prefix', () => {
  const routes = new PriorityRoutes(['/health', '/api/status/'])
  for (const target of ['/health', '/health?full=1', '/health/db', '/api/status/', '/api/status/x']) {
    assert.equal(routes.includes(target), true, target)
  }
  for (const target of ['/', '/healthcare', '/api/health', '/api/status', '/HEALTH', '*', '']) {
    assert.equal(routes.includes(target), false, target)
  }
})

test('without priority routes no request has priority', () => {
  assert.equal(new PriorityRoutes([]).includes('/health'), false)
})
