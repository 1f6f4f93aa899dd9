import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import { noSettings } from '../../test/settings-samples.ts'
import { aStatus, aWorker } from '../../test/status-samples.ts'
import type { Incident } from '../diagnostics/incident.ts'
import type { LogFields } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { ms } from '../resilience/duration.ts'
import { addressGroup } from './admin-connections.ts'
import { isHostAllowed } from './admin-request.ts'
import { type AdminServer, type AdminServerOptions, startAdminServer } from './admin-server.ts'
import type { ArbiterControl } from './arbiter-control.ts'

const LIMIT = ms(5_000)
const NOTHING = async (): Promise<never> => assert.fail('the admin server only reads')
let server: AdminServer | null = null

afterEach(async () => {
  await server?.close(LIMIT)
  server = null
})

const INCIDENT: Incident = {
  id: '20261122T004331123-w2-stall',
  kind: 'stall',
  at: '2026-11-22T00:43:31.123Z',
  worker: { id: 2, pid: 7, generation: 1 },
  summary: 'worker 2 stalled for GET /<script>alert(1)</script>',
  outcome: 'interrupted',
  evidence: [],
}

async function start(given: Partial<ArbiterControl> = {}, options: Partial<AdminServerOptions> = {}): Promise<void> {
  const control = {
    status: () => aStatus(),
    metrics: () => new Map(),
    reload: NOTHING,
    scale: NOTHING,
    stop: NOTHING,
    settings: noSettings(),
    incidents: async () => [INCIDENT],
    incident: async (id: string) => (id === INCIDENT.id ? INCIDENT : undefined),
    ...given,
  }
  server = await startAdminServer(control, { host: '127.0.0.1', port: 0, ...options })
}

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

function ask(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body = '' } = options
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server?.port, path, method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** Sends raw text; resolves with what was received until the connection closed. */
async function speak(text: string): Promise<string> {
  const socket = connect(server?.port ?? 0, '127.0.0.1')
  let received = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    received += chunk
  })
  socket.on('error', () => {})
  socket.write(text)
  await once(socket, 'close')
  return received
}

test('livez answers 200 while the arbiter runs, readyz answers whether the app is ready', async () => {
  let ready = true
  await start({ status: () => aStatus({ ready }) })
  assert.equal((await ask('/livez')).status, 200)
  assert.equal((await ask('/readyz')).status, 200)
  ready = false
  assert.equal((await ask('/livez')).status, 200)
  assert.equal((await ask('/readyz')).status, 503)
})

test('status, metrics and incidents come from the arbiter and are not cached', async () => {
  await start()
  const status = await ask('/status?pretty')
  assert.deepEqual(JSON.parse(status.body), aStatus())
  assert.equal(status.headers['content-type'], 'application/json')
  assert.equal(status.headers['cache-control'], 'no-store')
  assert.equal(status.headers['access-control-allow-origin'], undefined)
  const metrics = await ask('/metrics')
  assert.match(metrics.headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/)
  assert.match(metrics.body, /^punctual_workers\{state="ready"\} 2$/m)
  assert.deepEqual(
    (JSON.parse((await ask('/incidents')).body) as Incident[]).map(({ id }) => id),
    [INCIDENT.id],
  )
  assert.deepEqual(JSON.parse((await ask(`/incidents/${INCIDENT.id}`)).body), INCIDENT)
})

test('the page shows workers and incidents, escapes client data, and may load nothing', async () => {
  const workers = [aWorker({ state: 'stalled' }), aWorker({ id: 2, pid: null, rssBytes: null, loopLagMs: null })]
  await start({ status: () => aStatus({ name: 'a & <b>', workers }) })
  const { body, headers } = await ask('/')
  assert.match(headers['content-type'] ?? '', /^text\/html/)
  assert.match(String(headers['content-security-policy']), /^default-src 'none'/)
  assert.ok(!body.includes('<script') && !body.includes('<b>'))
  assert.match(body, />stalled</)
  assert.ok(body.includes(`href="/incidents/${INCIDENT.id}"`))
})

test('HEAD is answered with headers only', async () => {
  await start()
  const { status, headers, body } = await ask('/status', { method: 'HEAD' })
  assert.equal(status, 200)
  assert.ok(Number(headers['content-length']) > 0)
  assert.equal(body, '')
})

test('methods other than GET and HEAD are answered 405', async () => {
  await start()
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    const { status, headers, body } = await ask('/status', {
      method,
      body: 'x'.repeat(1_000),
      headers: { 'content-length': '1000' },
    })
    assert.equal(status, 405, method)
    assert.equal(String(headers.allow), 'GET, HEAD')
    assert.equal(headers['content-type'], 'application/problem+json')
    assert.equal((JSON.parse(body) as { status: number }).status, 405)
  }
})

test('unknown paths are answered 404, and no path reads a file', async () => {
  await start({ incident: async (id) => assert.fail(`asked for ${id}`) })
  for (const path of [
    '/nothing',
    '/incidents/',
    '/incidents/../secret',
    '/incidents/..%2fsecret',
    '/incidents/a.b',
    '/livez/',
    '//livez',
  ]) {
    const { status, headers } = await ask(path)
    assert.equal(status, 404, path)
    assert.equal(headers['content-type'], 'application/problem+json')
  }
})

test('a request for a foreign host name is answered 421; an address or localhost is accepted', async () => {
  await start()
  assert.equal((await ask('/status', { headers: { host: 'evil.example' } })).status, 421)
  assert.equal((await ask('/readyz', { headers: { host: '10.1.2.3:19464' } })).status, 200)
  assert.equal((await ask('/readyz', { headers: { host: 'localhost:19464' } })).status, 200)
  assert.match(await speak('GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
})

test('an internal error is answered 500 without details', async () => {
  const logged: LogFields[] = []
  const log = { warn: (fields: LogFields): void => void logged.push(fields) }
  const status = (): never => {
    throw new Error('secret')
  }
  await start({ status }, { log })
  const answer = await ask('/status')
  assert.equal(answer.status, 500)
  assert.ok(!answer.body.includes('secret'))
  assert.equal(logged.length, 1)
  assert.partialDeepStrictEqual(logged[0], { event: 'admin-request-failed', method: 'GET', target: '/status' })
})

/** A connection that has sent nothing; it may be reset. */
async function open(): Promise<Socket> {
  const socket = connect(server?.port ?? 0, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

test('requests that are sent at once on one connection are answered in order', async () => {
  await start()
  const paths = Array.from({ length: 300 }, (_, at) =>
    at % 3 === 0 ? '/status' : at % 3 === 1 ? '/livez' : '/nothing',
  )
  const sent = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  const received = await speak(`${sent.join('')}GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  const statuses = [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status)
  assert.deepEqual(statuses, [...paths.map((path) => (path === '/nothing' ? '404' : '200')), '200'])
})

test('a request that arrives byte by byte is answered', async () => {
  await start()
  const socket = await open()
  socket.setNoDelay()
  const answered = once(socket, 'data')
  for (const byte of Buffer.from('HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')) {
    socket.write(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.match(String((await answered)[0]), /^HTTP\/1\.1 200 /)
  socket.destroy()
})

test('requests at the same time share one listing, made after they came in', async () => {
  let listings = 0
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const incidents = async (): Promise<Incident[]> => {
    listings += 1
    if (listings === 1) await first
    return [{ ...INCIDENT, summary: `listing ${listings}` }]
  }
  await start({ incidents })
  const one = ask('/incidents')
  while (listings === 0) await new Promise((next) => setImmediate(next))
  const others = Array.from({ length: 30 }, () => ask('/incidents'))
  await ask('/livez')
  resolve()
  await one
  for (const { body } of await Promise.all(others)) assert.match(body, /listing [23]/)
  assert.ok(listings <= 3, `${listings} listings`)
})

test('an answer that takes longer to make than a client may idle is sent', async () => {
  let idle: Socket | null = null
  // By then connections have been checked that are as old as that of the request.
  const incidents = async (): Promise<Incident[]> => {
    if (idle?.closed === false) await once(idle, 'close', { signal: AbortSignal.timeout(LIMIT) })
    return [INCIDENT]
  }
  await start({ incidents }, { clientTimeout: ms(100) })
  idle = await open()
  idle.resume()
  assert.equal((await ask('/incidents')).status, 200)
})

test('pages of other sites cannot make a browser ask, other than to show an answer', async () => {
  await start()
  const as = async (headers: Record<string, string>): Promise<number | undefined> =>
    (await ask('/status', { headers })).status
  const host = `127.0.0.1:${server?.port}`
  assert.equal(await as({ origin: 'https://evil.example' }), 403)
  assert.equal(await as({ origin: 'null' }), 403)
  assert.equal(await as({ 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'image' }), 403)
  assert.equal(await as({ 'sec-fetch-site': 'same-site', 'sec-fetch-dest': 'iframe' }), 403)
  assert.equal(await as({ 'sec-fetch-site': 'cross-site', 'sec-fetch-dest': 'document' }), 200)
  assert.equal(await as({ 'sec-fetch-site': 'same-origin', 'sec-fetch-dest': 'empty' }), 200)
  assert.equal(await as({ origin: `http://${host}`, host }), 200)
})

test('a server for probes has probes only, by any host name', async () => {
  await start({}, { pages: 'probes' })
  const headers = { host: 'lb.example' }
  assert.equal((await ask('/livez', { headers })).status, 200)
  assert.equal((await ask('/readyz', { headers })).status, 200)
  for (const path of ['/', '/status', '/metrics', '/incidents', `/incidents/${INCIDENT.id}`]) {
    assert.equal((await ask(path)).status, 404, path)
  }
  await server?.close(LIMIT)
  await start({}, { pages: 'probes-and-metrics', hosts: ['metrics.internal'] })
  assert.equal((await ask('/metrics')).status, 200)
  assert.equal((await ask('/metrics', { headers: { host: 'metrics.internal' } })).status, 200)
  assert.equal((await ask('/metrics', { headers })).status, 421)
  assert.equal((await ask('/status')).status, 404)
})

test('an address counts for its network', () => {
  assert.equal(addressGroup('10.1.2.3'), '10.1.2.3')
  assert.equal(addressGroup('::ffff:10.1.2.3'), '10.1.2.3')
  assert.equal(addressGroup('2001:db8:1:2:3:4:5:6'), addressGroup('2001:db8:1:2::9'))
  assert.notEqual(addressGroup('2001:db8:1:2::9'), addressGroup('2001:db8:1:3::9'))
  assert.equal(addressGroup('fe80::1%eth0'), 'fe80:0:0:0')
  assert.equal(addressGroup('::1'), '0:0:0:0')
  assert.equal(addressGroup(undefined), null)
})

describe('a client cannot occupy the server', () => {
  test('with an incomplete request', async () => {
    await start({}, { clientTimeout: ms(100) })
    assert.equal(await speak(''), '')
    assert.match(await speak('GET / HTTP/1.1\r\nHost: localhost\r\n'), /^$|^HTTP\/1\.1 408 /)
  })

  test('with another protocol, or with too many headers', async () => {
    await start()
    assert.match(await speak('\u0016\u0003\u0001 hello\r\n\r\n'), /^HTTP\/1\.1 400 /)
    assert.match(
      await speak(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 /,
    )
  })

  test('with too many connections: the longest silent one is closed', async () => {
    await start({}, { connections: 4, perAddress: 2 })
    const silent = [await open(), await open()]
    const closed = silent.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    assert.equal((await ask('/livez')).status, 200)
    await closed[0]
    assert.equal(silent[1]?.closed, false)
    assert.equal((await ask('/livez')).status, 200)
    for (const socket of silent) socket.destroy()
  })

  test('with requests ahead of an answer that it does not read', async () => {
    let asked = 0
    const incidents = async (): Promise<Incident[]> => {
      asked += 1
      return [{ ...INCIDENT, summary: 'x'.repeat(1_000_000) }]
    }
    await start({ incidents }, { clientTimeout: ms(60_000) })
    const socket = await open()
    socket.pause()
    socket.write('GET /incidents HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200))
    for (let turn = 0; turn < 20; turn += 1) assert.equal((await ask('/livez')).status, 200)
    // What the buffers of the kernel take counts as read.
    assert.ok(asked < 30, `${asked} of 200 answered`)
    socket.destroy()
  })

  test('on close: idle connections are closed', async () => {
    await start()
    const idle = connect(server?.port ?? 0, '127.0.0.1')
    await once(idle, 'connect')
    const closed = once(idle, 'close')
    idle.resume()
    await server?.close(ms(100))
    server = null
    await closed
  })
})

test('a port in use, or an address of another machine, is an error that names the setting to change', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  const refused = (details: Readonly<Record<string, unknown>>) => (error: unknown) => {
    assert.ok(error instanceof PunctualError)
    assert.equal(error.code, 'PUNCTUAL_ADMIN_PORT_TAKEN')
    assert.equal(error.exitCode, 2)
    assert.deepEqual(error.details, details)
    return true
  }
  await assert.rejects(
    start({}, { port }),
    refused({ host: '127.0.0.1', port, reason: 'EADDRINUSE', setting: 'adminPort' }),
  )
  await assert.rejects(
    start({}, { host: '192.0.2.1' }),
    refused({ host: '192.0.2.1', port: 0, reason: 'EADDRNOTAVAIL', setting: 'adminHost' }),
  )
  await new Promise((resolve) => other.close(resolve))
})

test('a port in use is replaced by a free one, with a warning, where the caller allows it', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  const warned: unknown[] = []
  await start({}, { port, orFree: true, log: { warn: (fields: unknown) => void warned.push(fields) } })
  assert.notEqual(server?.port, port)
  assert.deepEqual(warned, [{ event: 'admin-port-taken', host: '127.0.0.1', port, taken: server?.port }])
  await new Promise((resolve) => other.close(resolve))
})

test('localhost is the admin server on IPv4 and IPv6, and never another process', async (context) => {
  const other = createServer()
  const listening = await new Promise((resolve) => {
    other.once('error', () => resolve(false))
    other.listen(0, '::1', () => resolve(true))
  })
  if (listening === false) return context.skip('no IPv6 here')
  const { port } = other.address() as { port: number }
  await assert.rejects(start({}, { port }), { code: 'PUNCTUAL_ADMIN_PORT_TAKEN' })
  await new Promise((resolve) => other.close(resolve))
  await start({}, { port })
  for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
    assert.equal((await fetch(`http://${host}:${port}/livez`)).status, 200, host)
  }
})

test('the URL has the port that was taken', async () => {
  await start()
  assert.match(server?.url ?? '', /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(await (await fetch(`${server?.url}/livez`)).text(), 'alive\n')
})

test('addresses, localhost and the configured host are allowed', () => {
  for (const host of [
    '127.0.0.1',
    '127.0.0.1:19464',
    '10.1.2.3:19464',
    '[::1]:19464',
    '[fe80::1]',
    'localhost',
    'LOCALHOST:19464',
    'localhost.:1',
    'app.localhost:1',
    'admin.internal:19464',
    '',
    undefined,
  ]) {
    assert.equal(isHostAllowed(host, 'admin.internal'), true, String(host))
  }
})

test('a foreign host name is refused, to prevent DNS rebinding', () => {
  for (const host of [
    'evil.example',
    'evil.example:19464',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'notlocalhost',
    'a@127.0.0.1',
    '127.0.0.1:19464/x',
    '[evil]:1',
    ' ',
    '127.1',
    '0x7f000001',
    'a b',
  ]) {
    assert.equal(isHostAllowed(host, '127.0.0.1'), false, host)
  }
})

test('a server bound to every address allows only addresses, localhost and the names that are listed', () => {
  for (const bound of ['0.0.0.0', '::']) {
    for (const host of ['evil.example', 'evil.example:19464', 'prometheus-target.svc:19464']) {
      assert.equal(isHostAllowed(host, bound), false, host)
    }
    for (const host of ['10.1.2.3:19464', '[fe80::1]:1', 'localhost', 'app.svc:19464', 'a.b.internal', 'A.Internal.']) {
      assert.equal(isHostAllowed(host, bound, ['app.svc', '*.internal']), true, host)
    }
    for (const host of ['internal', 'evilinternal', 'app.svc.evil.example', 'x.app.svc']) {
      assert.equal(isHostAllowed(host, bound, ['app.svc', '*.internal']), false, host)
    }
  }
})
