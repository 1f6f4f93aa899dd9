import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { after, describe, test } from 'node:test'
import { createLog } from '../diagnostics/log.ts'
import { patchServers } from '../patches/http-server.ts'
import { ms, UNBOUNDED } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import { AccessLog, type AccessLogSettings } from './access-log.ts'
import type { AccessRecord } from './access-record.ts'
import { currentRequest } from './current-request.ts'
import { rawResponse } from './raw-response.ts'
import { timeOutRequest } from './respond-instead.ts'
import { Traffic } from './traffic.ts'

type Line = AccessRecord & {
  readonly event: string
  readonly level: string
  readonly lines?: number
  readonly outcomes?: Readonly<Record<string, number>>
}

// The prototypes are patched once per process, as in a worker.
const traffic = new Traffic(undefined, { requestTimeout: ms(200), maxProxyQueueTime: ms(10_000) })
const answer = rawResponse('PUNCTUAL_REQUEST_TIMEOUT')
traffic.deadlines.onTimeout = (scope) => timeOutRequest(traffic, scope, answer)
patchServers(traffic)

let listener: http.RequestListener = () => {}
const server = http.createServer((request, response) => listener(request, response)).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
after(() => {
  server.close()
  server.closeAllConnections()
})

const SETTINGS: AccessLogSettings = {
  accessLog: 'problems',
  slowRequestThreshold: UNBOUNDED,
  logLevel: 'info',
  logFormat: 'json',
}

/** An access log whose lines are collected; `opened` returns how often the log was created. */
function start(settings: Partial<AccessLogSettings> = {}) {
  let opened = 0
  const lines: Line[] = []
  const texts: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const text of chunk.toString().split('\n').filter(Boolean)) {
        texts.push(text)
        if (settings.logFormat !== 'text') lines.push(JSON.parse(text))
      }
      done()
    },
  })
  const log = new AccessLog({ ...SETTINGS, ...settings }, 3, async ({ logLevel, logFormat }) => {
    opened++
    return createLog({ level: logLevel, format: logFormat, stream, color: false })
  })
  traffic.onEnded = (scope, outcome) => log.requestEnded(scope, outcome)
  return { log, lines, texts, opened: () => opened }
}

async function ask(path: string, options: http.RequestOptions = {}): Promise<number> {
  const request = http.get({ host: '127.0.0.1', port, path, agent: false, ...options })
  request.on('error', () => {})
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  try {
    for await (const _ of response);
  } catch {
    // Truncated.
  }
  return response.statusCode ?? 0
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 10_000 && !condition(); turn++) await new Promise((resolve) => setTimeout(resolve, 1))
  assert.ok(condition(), what)
}

const never = (): Promise<never> => new Promise(() => {})

describe('problems', () => {
  test('a request without a problem is not logged, and the log is not even created', async () => {
    const { log, opened } = start()
    listener = (_, response) => response.writeHead(404).end('ok')
    assert.equal(await ask('/'), 404)
    await log.close(ms(1_000))
    assert.equal(opened(), 0)
  })

  test('a request that timed out is logged with what it was waiting for', async () => {
    const { lines } = start()
    listener = () => void withTimeout('user look-up', '10s', never).catch(() => {})
    assert.equal(await ask('/api/auth?token=secret', { headers: { authorization: 'secret' } }), 503)
    await until('the line', () => lines.length === 1)
    const [line] = lines
    assert.ok(line)
    assert.deepEqual(
      [line.event, line.method, line.route, line.status, line.outcome, line.worker, line.level],
      ['request', 'GET', '/api/auth', 503, 'timed-out', 3, 'warn'],
    )
    assert.match(line.requestId, /^[\da-f]{32}$/)
    assert.deepEqual([line.waits?.[0]?.name, line.waits?.[0]?.outcome], ['user look-up', 'timed-out'])
    assert.ok((line.waits?.[0]?.share ?? 0) > 50)
    assert.doesNotMatch(JSON.stringify(line), /secret/)
  })

  test('waits that are open at the deadline are listed', async () => {
    const { lines } = start()
    listener = () => {
      const current = currentRequest()
      assert.ok(current)
      // An unnamed wait is bounded by the deadline of the request only.
      current.waits.begin({
        name: '127.0.0.1:5432 (postgresql)',
        startedAt: 0,
        timeout: UNBOUNDED,
        outcome: null,
        endedAt: null,
      })
    }
    assert.equal(await ask('/'), 503)
    await until('the line', () => lines.length === 1)
    assert.equal(lines[0]?.waiting?.[0]?.name, '127.0.0.1:5432 (postgresql)')
    assert.equal(lines[0]?.waits?.[0]?.outcome, 'open')
  })

  test('a response that has begun is truncated at the deadline of its route, and logged as such', async () => {
    const { lines } = start()
    listener = (_, response) => {
      currentRequest()?.allow('200ms')
      response.write('first')
    }
    assert.equal(await ask('/feed'), 200)
    await until('the line', () => lines.length === 1)
    const [line] = lines
    assert.deepEqual([line?.route, line?.truncated, line?.status, line?.outcome], ['/feed', true, 200, 'timed-out'])
  })

  test('a client that disconnects is no timeout', async () => {
    const { lines } = start()
    listener = () => client.destroy()
    const client = net.connect(port, '127.0.0.1')
    client.write('GET /slow HTTP/1.1\r\nhost: x\r\n\r\n')
    await until('the line', () => lines.length === 1)
    const [line] = lines
    assert.deepEqual(
      [line?.route, line?.status, line?.outcome, line?.level],
      ['/slow', null, 'client-disconnected', 'info'],
    )
  })

  test('a status of 500, a fallback and a slow response are problems', async () => {
    const { lines } = start({ slowRequestThreshold: ms(20) })
    listener = (_, response) => response.writeHead(500).end()
    await ask('/broken')
    listener = async (_, response) => response.end(await withTimeout('prices', '5ms', never, { fallback: 'none' }))
    await ask('/prices')
    listener = async (_, response) => {
      await withTimeout('report', '1s', () => new Promise((resolve) => setTimeout(resolve, 30)))
      response.end()
    }
    await ask('/report')
    await until('three lines', () => lines.length === 3)
    assert.deepEqual(
      lines.map(({ route, status, outcome }) => [route, status, outcome]),
      [
        ['/broken', 500, 'failed'],
        ['/prices', 200, 'degraded'],
        ['/report', 200, 'completed'],
      ],
    )
    const waits = lines.map((line) => line.waits?.map(({ name, outcome }) => [name, outcome]))
    assert.deepEqual(waits, [undefined, [['prices', 'degraded']], [['report', 'ok']]])
  })

  test('a flood is logged in part and counted completely', async () => {
    const { log, lines } = start()
    listener = (_, response) => response.writeHead(500).end()
    for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 40 }, () => ask('/auth')))
    await log.close(ms(1_000))
    const logged = lines.filter(({ route }) => route === '/auth').length
    const left = lines.filter(({ event }) => event === 'requests-not-logged')
    const counted = left.reduce((sum, line) => sum + (line.lines ?? 0), 0)
    for (const line of left) assert.deepEqual(line.outcomes, { failed: line.lines })
    assert.equal(logged + counted, 200)
    assert.ok(counted > 0)
  })
})

describe('all', () => {
  test('every request is logged, with the pattern of its route if known', async () => {
    const { lines } = start({ accessLog: 'all' })
    listener = (_, response) => {
      const current = currentRequest()
      if (current !== undefined) current.route = '/users/:id'
      response.end()
    }
    await ask('/users/7', { headers: { 'x-request-id': 'abc' } })
    listener = (request, response) => {
      Object.assign(request, { route: { path: '/:id' }, baseUrl: '/teams' })
      response.end()
    }
    await ask('/teams/7')
    await until('two lines', () => lines.length === 2)
    assert.deepEqual([lines[0]?.route, lines[0]?.status, lines[0]?.requestId], ['/users/:id', 200, 'abc'])
    assert.equal(lines[1]?.route, '/teams/:id')
  })

  test('of a whole URL as the target only the path is logged', async () => {
    const { lines } = start({ accessLog: 'all' })
    listener = (_, response) => response.end()
    await ask('http://name:secret@example.com/path?key=secret')
    await until('the line', () => lines.length === 1)
    assert.equal(lines[0]?.route, '/path')
  })

  test('the longest of many waits are listed in order, and the rest counted', async () => {
    const { lines } = start({ accessLog: 'all' })
    listener = async (_, response) => {
      for (let index = 0; index < 30; index++) {
        await withTimeout(`wait ${index}`, '1s', () =>
          index === 25 ? new Promise((resolve) => setTimeout(resolve, 20)) : undefined,
        )
      }
      response.end()
    }
    await ask('/')
    await until('the line', () => lines.length === 1)
    const names = lines[0]?.waits?.map(({ name }) => name) ?? []
    assert.equal(names.length, 20)
    assert.equal(lines[0]?.moreWaits, 10)
    assert.ok(names.includes('wait 25'))
    assert.deepEqual(
      names,
      names.toSorted((one, other) => Number(one.slice(5)) - Number(other.slice(5))),
    )
  })

  test('the time in the queue of a proxy is part of the duration, and has its own field', async () => {
    const { lines } = start({ accessLog: 'all' })
    traffic.deadlines.onTimeout = () => {}
    listener = (_, response) => response.end()
    await ask('/', { headers: { 'x-request-start': String(Date.now() - 5_000) } })
    traffic.deadlines.onTimeout = (scope) => timeOutRequest(traffic, scope, answer)
    await until('the line', () => lines.length === 1)
    const { queuedMs, durationMs } = lines[0] as Line
    assert.ok(queuedMs >= 4_900, `${queuedMs} ms`)
    assert.ok(durationMs >= queuedMs && durationMs < 6_000, `${durationMs} ms`)
  })
})

test('lines are buffered until the log is open, and written before the worker exits', async () => {
  const { log, lines, opened } = start({ accessLog: 'all' })
  listener = (_, response) => response.end()
  await Promise.all(Array.from({ length: 10 }, () => ask('/')))
  await log.close(ms(1_000))
  assert.equal(lines.length, 10)
  assert.equal(opened(), 1)
})

test('a log that cannot be opened loses its lines and does not affect requests', async (context) => {
  const logged = context.mock.method(console, 'error', () => {})
  const log = new AccessLog({ ...SETTINGS, accessLog: 'all' }, 1, () => Promise.reject(new Error('no')))
  traffic.onEnded = (scope, outcome) => log.requestEnded(scope, outcome)
  listener = (_, response) => response.end()
  assert.equal(await ask('/'), 200)
  await log.close(ms(1_000))
  assert.equal(await ask('/'), 200)
  assert.equal(logged.mock.callCount(), 1)
})

test('in the text format a line has the message, the worker and the request id', async () => {
  const { texts } = start({ accessLog: 'all', logFormat: 'text' })
  listener = (_, response) => response.end()
  await ask('/users', { headers: { 'x-request-id': 'abc' } })
  await until('the line', () => texts.length === 1)
  assert.ok(texts[0]?.endsWith(' worker=3 requestId=abc'), texts[0])
  assert.ok(!texts[0]?.includes('route='), texts[0])
})

test('the log is not opened if no line can be written', async () => {
  for (const settings of [{ accessLog: 'off' }, { logLevel: 'error' }, { logLevel: 'silent' }] as const) {
    const { log, lines, opened } = start({ accessLog: 'all', ...settings })
    log.prepare()
    await ask('/fail')
    await log.close(ms(10_000))
    assert.deepEqual([opened(), lines.length], [0, 0])
  }
})

test('changed settings apply to the next request', async () => {
  const settings = { ...SETTINGS, accessLog: 'off', slowRequestThreshold: ms(60_000) } as {
    -readonly [Name in keyof AccessLogSettings]: AccessLogSettings[Name]
  }
  const lines: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(...chunk.toString().split('\n').filter(Boolean))
      done()
    },
  })
  const log = new AccessLog(settings, 1, async ({ logLevel, logFormat }) =>
    createLog({ level: logLevel, format: logFormat, stream, color: false }),
  )
  traffic.onEnded = (scope, outcome) => log.requestEnded(scope, outcome)
  log.prepare()
  const change = (given: Partial<AccessLogSettings>): void => {
    Object.assign(settings, given)
    log.settingsChanged()
  }
  await ask('/off')
  change({ accessLog: 'all' })
  await ask('/all')
  change({ logLevel: 'error' })
  await ask('/silenced')
  change({ logLevel: 'info', accessLog: 'problems' })
  await ask('/quick')
  change({ slowRequestThreshold: ms(0) })
  await ask('/slow')
  await log.close(ms(10_000))
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as Line).route),
    ['/all', '/slow'],
  )
})
