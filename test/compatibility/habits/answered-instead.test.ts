import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Outcome, request } from '../../process/support/client.ts'
import type { LogLine } from '../../process/support/log-lines.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { installServer } from '../support/install.ts'

const entry = join(import.meta.dirname, 'apps/answered-instead.mjs')

/** The client got this problem, with the headers of middleware and none of the old body. */
function assertProblem({ status, headers, body }: Outcome, name: string): void {
  assert.equal(status, 503)
  assert.equal(JSON.parse(body).type, `urn:punctual:error:${name}`)
  const { 'content-length': length, 'content-type': type, 'cache-control': caching, connection } = headers
  assert.deepEqual(
    [Number(length), type, caching, connection],
    [Buffer.byteLength(body), 'application/problem+json', 'no-store', 'close'],
  )
  assert.equal(headers['access-control-allow-origin'], 'https://example.com')
  assert.equal(headers['x-request-id'], 'abc')
  assert.equal(headers['content-security-policy'], "default-src 'self'")
  assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(headers['content-encoding'], undefined)
  assert.equal(headers.etag, undefined)
}

const settings = {
  workers: 1,
  requestTimeout: '3s',
  stallAction: 'interrupt',
  stallReportAfter: '1s',
  stallInterruptAfter: '2s',
  upgradeGrace: '3s',
  drainTimeout: '3s',
}

describe('a request that is answered in place of its handler', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({ entry, settings })
  })
  after(() => server.stop())

  const seen = (event: string, fields: Readonly<Record<string, unknown>>): Promise<LogLine> =>
    server.log((line) => line.event === event && Object.entries(fields).every(([name, value]) => line[name] === value))

  async function assertObserved(url: string): Promise<void> {
    for (const on of ['finish', 'close']) assert.equal((await seen('observed', { url, on })).status, 503)
    assert.equal((await seen('channel', { url })).status, 503)
  }

  it('keeps the headers of middleware at its deadline, and shows observers 503', async () => {
    assertProblem(await request(`${server.url}/hang`), 'request-timeout')
    await assertObserved('/hang')
  })

  it('keeps those given to writeHead, if nothing has been sent', async () => {
    const answer = await request(`${server.url}/head`)
    assertProblem(answer, 'request-timeout')
    assert.equal(answer.headers['x-given'], 'yes')
    await assertObserved('/head')
  })

  it('appears to its handler as one whose client has disconnected', async () => {
    const paths = ['/late', '/before-close', '/pipe', '/pipeline']
    for (const { status } of await Promise.all(paths.map((path) => request(`${server.url}${path}`))))
      assert.equal(status, 503)
    const { written, destroyed, status } = await seen('late', {})
    assert.deepEqual({ written, destroyed, status }, { written: false, destroyed: true, status: 503 })
    for (const name of ['write', 'write-encoding', 'end', 'end-only', 'before-close'])
      assert.equal((await seen('callback', { name })).code, 'ERR_STREAM_DESTROYED', name)
    for (const name of ['pipe', 'pipeline']) {
      const { count } = await seen('read', { name })
      assert.ok(Number(count) < 5, `${name} read ${count} times`)
    }
    assert.equal((await seen('pipeline', {})).failed, true)
    assert.equal(
      server.lines.find(({ event }) => event === 'failed'),
      undefined,
    )
  })

  it('emits what Node emits when a client disconnects, and only then that the 503 was sent', async () => {
    const disconnect = ['request aborted', 'response close', 'request error', 'request close', 'response finish']
    const upload = { method: 'POST', body: Buffer.alloc(300_000) }
    const answers = await Promise.all([request(`${server.url}/events`), request(`${server.url}/upload`, upload)])
    for (const { status } of answers) assert.equal(status, 503)
    assert.deepEqual((await seen('order', { url: '/events' })).order, disconnect)
    assert.deepEqual((await seen('order', { url: '/upload' })).order, disconnect)
  })

  it('aborts the signals of frameworks, and rejects what waits for its response to be sent', async () => {
    const paths = ['/fastify', '/srvx', '/finished', '/web-stream']
    for (const { status } of await Promise.all(paths.map((path) => request(`${server.url}${path}`))))
      assert.equal(status, 503)
    for (const framework of ['fastify', 'srvx']) await seen('aborted', { framework })
    const premature = 'ERR_STREAM_PREMATURE_CLOSE'
    const { waiting, late, needDrain } = await seen('finished', {})
    assert.deepEqual({ waiting, late, needDrain }, { waiting: premature, late: premature, needDrain: false })
    const { closed, piped, written, ended } = await seen('web-stream', {})
    assert.deepEqual(
      { closed, piped, written, ended },
      { closed: 'ABORT_ERR', piped: 'ABORT_ERR', written: 'ABORT_ERR', ended: 'ERR_INVALID_STATE' },
    )
  })

  it('fails the files that Express sends afterwards with ECONNABORTED, which it does not report', async () => {
    const paths = ['/files/at-close', '/files/later', '/files/reported']
    for (const { status } of await Promise.all(paths.map((path) => request(`${server.url}${path}`))))
      assert.equal(status, 503)
    for (const name of ['at-close', 'later']) assert.equal((await seen('sent-file', { name })).code, 'ECONNABORTED')
    assert.equal(server.lines.filter(({ event }) => event === 'sent-file').length, 2)
    assert.equal(
      server.lines.find(({ event }) => event === 'failed'),
      undefined,
    )
  })

  it('does the same when its code is interrupted, and when its worker is drained', async () => {
    assertProblem(await request(`${server.url}/spin`), 'stalled')
    await assertObserved('/spin')
    await server.until('the replacement', ({ workers }) => workers.length === 1 && workers[0]?.state === 'ready')
    const hanging = request(`${server.url}/hang`)
    await server.until('the request', ({ workers }) => workers[0]?.inFlight === 1)
    server.signal('SIGTERM')
    const answer = await hanging
    assert.match(JSON.parse(answer.body).type, /request-timeout|shutting-down/)
    assert.equal(answer.headers['x-request-id'], 'abc')
    await server.exit
  })
})

describe('a request that is answered in place of its handler is 503 to', { concurrency: true }, () => {
  let packages: string
  before(async () => {
    packages = await installServer(join(import.meta.dirname, 'packages/telemetry'))
  })

  for (const [title, agent] of [
    ['OpenTelemetry', 'opentelemetry.mjs'],
    ['Sentry', 'sentry.mjs'],
  ] as const) {
    it(title, async () => {
      await using server = await startServer({ entry, settings, flags: ['--import', join(packages, agent)] })
      await Promise.all(['/hang', '/head'].map((path) => request(`${server.url}${path}`)))
      await request(`${server.url}/spin`)
      for (const path of ['/hang', '/head', '/spin']) {
        const span = await server.log(({ event, url }) => event === 'span' && url === path)
        assert.equal(span.status, 503, path)
        assert.equal(span.response ?? 503, 503, path)
      }
    })
  }
})
