import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { request, requests } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const files = {
  'app.mjs': `
import http from 'node:http'
import { createRequire } from 'node:module'
const { cache } = createRequire(import.meta.url)
http.createServer((request, response) => {
  if (request.url.startsWith('/hang')) return
  if (request.url === '/fail') return void response.writeHead(500).end()
  if (request.url === '/stream') return void response.write('first')
  response.end(String(Object.keys(cache).some((path) => path.includes('/pino/'))))
}).listen(process.env.PORT, process.env.HOST)
`,
}

const settings = { workers: 1, stallAction: 'report', requestTimeout: '300ms', streamIdleTimeout: '300ms' }

/** The lines of the access log in the output. */
function accessLines(lines: readonly LogLine[]): LogLine[] {
  return lines.filter(({ event }) => event === 'request')
}

const isAbout =
  (route: string) =>
  (line: LogLine): boolean =>
    line.event === 'request' && line.route === route

describe('the access log of a worker', { concurrency: 2 }, () => {
  it('logs problems, and does not load the log in a worker without any', async () => {
    await using server = await startServer({ files, settings: { ...settings, slowRequestThreshold: 'unbounded' } })
    assert.equal((await request(`${server.url}/?password=secret`)).body, 'false')
    const headers = { 'x-request-id': 'abc', authorization: 'secret' }
    const outcomes = await Promise.all([
      request(`${server.url}/hang?password=secret`, { method: 'POST', headers }),
      request(`${server.url}/stream`),
      request(`${server.url}/fail`),
    ])
    assert.deepEqual(
      outcomes.map(({ kind, status }) => `${kind} ${status}`),
      ['answer 503', 'cut-short 200', 'answer 500'],
    )
    const expired = await server.log(isAbout('/hang'))
    const stream = await server.log(isAbout('/stream'))
    const failed = await server.log(isAbout('/fail'))
    assert.partialDeepStrictEqual(expired, {
      level: 'warn',
      method: 'POST',
      status: 503,
      outcome: 'timed-out',
      worker: 1,
      requestId: 'abc',
    })
    assert.ok(Number(expired.durationMs) >= 290)
    assert.partialDeepStrictEqual(stream, { status: 200, outcome: 'timed-out', truncated: true })
    assert.partialDeepStrictEqual(failed, { status: 500, outcome: 'failed' })
    // Once a line has been written, the log is loaded.
    assert.equal((await request(server.url)).body, 'true')
    assert.equal(accessLines(server.lines).length, 3)
    assert.doesNotMatch(server.output, /secret/)
  })

  it('logs every request, without splitting lines of other workers, and flushes before the worker exits', async () => {
    await using server = await startServer({ files, settings: { ...settings, workers: 2, accessLog: 'all' } })
    for (let round = 0; round < 10; round++) await Promise.all(requests(50, `${server.url}/x`))
    assert.equal((await server.stop()).code, 0)
    const lines = accessLines(server.lines)
    assert.equal(lines.length, 500)
    assert.deepEqual(
      [...new Set(lines.map(({ method, route, status, outcome }) => `${method} ${route} ${status} ${outcome}`))],
      ['GET /x 200 completed'],
    )
    assert.equal(new Set(lines.map(({ requestId }) => requestId)).size, 500)
  })

  it('is text if the log is', async () => {
    await using server = await startServer({ files, settings: { ...settings, logFormat: 'text' }, ready: false })
    // The port of the admin server is not known here, so the app is requested.
    await until('the app to answer', async () => (await request(server.url)).status === 200)
    assert.equal((await request(`${server.url}/fail`, { headers: { 'x-request-id': 'abc' } })).status, 500)
    await until('the line', () => / warn {2}GET \/fail .* worker=1 requestId=abc\n/.test(server.output))
  })

  it('can be turned off', async () => {
    await using server = await startServer({ files, settings: { ...settings, accessLog: 'off' } })
    assert.equal((await request(`${server.url}/fail`)).status, 500)
    assert.equal((await server.stop()).code, 0)
    assert.deepEqual(accessLines(server.lines), [])
  })

  it('says what a request was waiting for when it timed out, without code in the app', async () => {
    await using server = await startServer({
      files: {
        'app.mjs': `
import http from 'node:http'
import net from 'node:net'
const silent = net.createServer(() => {}).listen(0, '127.0.0.1', () => {
  const { port } = silent.address()
  http.createServer((request, response) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('hello'))
    socket.on('data', (chunk) => response.end(chunk))
  }).listen(process.env.PORT, process.env.HOST)
})
`,
      },
      settings,
    })
    assert.equal((await request(server.url)).status, 503)
    const { outcome, waiting } = await server.log('request')
    assert.equal(outcome, 'timed-out')
    const [wait] = waiting as readonly { readonly name: string; readonly ms: number }[]
    assert.match(wait?.name ?? '', /^127\.0\.0\.1:\d+$/)
    assert.ok((wait?.ms ?? 0) > 0)
  })

  it('logs slow requests as problems', async () => {
    await using server = await startServer({ files, settings: { ...settings, slowRequestThreshold: '1ms' } })
    const headers = { 'x-request-start': String(Date.now() - 100) }
    assert.equal((await request(server.url, { headers })).status, 200)
    const { status, outcome, queuedMs } = await server.log('request')
    assert.deepEqual([status, outcome], [200, 'completed'])
    assert.ok(Number(queuedMs) >= 90, `${queuedMs} ms`)
  })

  it('writes at most 50 lines per second when everything fails, and one that counts the rest', async () => {
    await using server = await startServer({ files, settings })
    await Promise.all(requests(100, `${server.url}/fail`))
    await Promise.all(requests(100, `${server.url}/fail`))
    await Promise.all(requests(100, `${server.url}/fail`))
    const { lines, outcomes } = await server.log('requests-not-logged')
    assert.deepEqual(outcomes, { failed: lines })
    assert.equal((await server.stop()).code, 0)
    const written = accessLines(server.lines).length
    const counted = server.lines
      .filter(({ event }) => event === 'requests-not-logged')
      .reduce((sum, line) => sum + Number(line.lines), 0)
    assert.equal(written + counted, 300)
  })
})

it('serverTiming adds a Server-Timing header, and is off by default', async () => {
  await using server = await startServer({ files, settings: { ...settings, serverTiming: 'on' } })
  assert.match(String((await request(server.url)).headers['server-timing']), /^total;dur=[\d.]+$/)
  await using other = await startServer({ files, settings })
  assert.equal('server-timing' in (await request(other.url)).headers, false)
})
