import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Incident } from '../../../src/diagnostics/incident.ts'
import { freePort } from '../../process/support/free-port.ts'
import { type Answer, getOn, SessionPool } from '../../process/support/http2-client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { installServer } from '../support/install.ts'

const entry = join(import.meta.dirname, 'apps/http2-and-grpc.mjs')
const NGHTTP2_CANCEL = 8
/** In milliseconds. A worker may take long to boot on a busy machine. */
const CALL_TIMEOUT = 60_000
const [DEADLINE_EXCEEDED, UNKNOWN, UNAVAILABLE] = [4, 2, 14]

interface Text {
  readonly text: string
}
interface Call {
  cancel(): void
  on(event: string, listener: (value: never) => void): Call
  write(message: Text): void
  end(): void
}
type Done = (error: { readonly code: number } | null, value?: Text) => void
interface Calls {
  Unary(message: Text, options: { deadline: number }, done: Done): Call
  Many(message: Text, options: { deadline: number }): Call
  Chat(options: { deadline: number }): Call
  close(): void
}

/** A text, or the status of gRPC. */
type Result = string | number

describe('HTTP/2 and gRPC', () => {
  let server: TestServer
  let calls: Calls
  let streamPort = 0
  before(async () => {
    const GRPC = await installServer(join(import.meta.dirname, 'packages/grpc'))
    const grpcPort = await freePort()
    streamPort = await freePort()
    server = await startServer({
      entry,
      settings: {
        workers: 1,
        requestTimeout: '6s',
        drainTimeout: '6s',
        upgradeGrace: '1s',
        stallReportAfter: '500ms',
        stallInterruptAfter: '1s',
        stallKillAfter: '5s',
        accessLog: 'all',
      },
      env: { GRPC, GRPC_PORT: String(grpcPort), STREAM_PORT: String(streamPort) },
    })
    const load = createRequire(`${GRPC}/`)
    const grpc = load('@grpc/grpc-js')
    const definition = load('@grpc/proto-loader').loadSync(join(import.meta.dirname, 'apps/call.proto'))
    const { Calls: Client } = grpc.loadPackageDefinition(definition).test
    calls = new Client(`127.0.0.1:${grpcPort}`, grpc.credentials.createInsecure()) as Calls
  })
  after(async () => {
    calls?.close()
    await server[Symbol.asyncDispose]()
  })

  const unary = (text: string, timeout = CALL_TIMEOUT): Promise<Result> =>
    new Promise((resolve) => {
      calls.Unary({ text }, { deadline: Date.now() + timeout }, (error, value) => {
        resolve(error === null ? (value?.text ?? '') : error.code)
      })
    })
  /** The messages of a call with many, and its status unless that is 0. */
  const many = (text: string): Promise<Result[]> =>
    new Promise((resolve) => {
      const results: Result[] = []
      calls
        .Many({ text }, { deadline: Date.now() + CALL_TIMEOUT })
        .on('data', (message: Text) => void results.push(message.text))
        .on('error', (error: { readonly code: number }) => resolve([...results, error.code]))
        .on('end', () => resolve(results))
    })
  const ready = (): Promise<unknown> =>
    server.until('an untainted worker', ({ ready, workers: [worker, ...others] }) => {
      return ready && others.length === 0 && worker?.state === 'ready' && !worker.tainted
    })
  const logged = (route: string, outcome: string): Promise<Record<string, unknown>> =>
    server.log((line) => line.event === 'request' && line.route === route && line.outcome === outcome)
  const streams = (): string => `http://127.0.0.1:${streamPort}`

  test('calls and streams have an outcome and a log line', async () => {
    assert.equal(await unary('hello'), 'hello')
    assert.deepEqual(await many('hello'), ['first', 'hello'])
    assert.equal(await unary('fail'), UNKNOWN)
    assert.deepEqual(await get(streams(), '/of-stream'), { status: 200, body: 'of-stream', code: 0 })
    assert.deepEqual(await get(server.url, '/compatible'), { status: 200, body: 'compatible', code: 0 })
    const failed = await get(streams(), '/fail')
    assert.deepEqual([failed.status, failed.code === 0], [0, false])

    assert.equal((await logged('/test.Calls/Many', 'completed')).grpcStatus, 0)
    assert.equal((await logged('/test.Calls/Unary', 'failed')).grpcStatus, UNKNOWN)
    assert.equal((await logged('/of-stream', 'completed')).status, 200)
    assert.equal((await logged('/compatible', 'completed')).method, 'GET')
    await logged('/fail', 'failed')
    await server.until('no open connection but that of gRPC', ({ workers }) => workers[0]?.connections === 1)
    const { workers } = await server.until('all to be counted', ({ workers: [worker] }) => worker?.requests === 6)
    assert.deepEqual([workers[0]?.inFlight, workers[0]?.outcomes.completed], [0, 4])
  })

  test('have a deadline: a call gets DEADLINE_EXCEEDED, a stream 503, and late answers do no harm', async () => {
    const shortCall = unary('hang', 500)
    const results = await Promise.all([unary('hang'), shortCall, get(streams(), '/hang'), get(server.url, '/hang')])
    const [call, short, ofStream, compatible] = results
    assert.deepEqual([call, short], [DEADLINE_EXCEEDED, DEADLINE_EXCEEDED])
    for (const { status, body } of [ofStream, compatible]) {
      assert.equal(status, 503)
      assert.equal(JSON.parse(body).type, 'urn:punctual:error:request-timeout')
    }
    await logged('/hang', 'timed-out')
    assert.equal((await logged('/test.Calls/Unary', 'timed-out')).grpcStatus, DEADLINE_EXCEEDED)
    const { pid } = await server.worker()
    assert.equal(await unary('answer-late'), 'answer-late')
    assert.deepEqual(await many('slow'), ['first', 'slow'])
    assert.equal((await server.worker()).pid, pid, 'the same worker, which has answered late')
  })

  test('end when their client cancels them, with the outcome client-disconnected', async () => {
    const call = calls.Many({ text: 'hang' }, { deadline: Date.now() + CALL_TIMEOUT })
    call.on('error', () => {}).on('data', () => call.cancel())
    await logged('/test.Calls/Many', 'client-disconnected')
    const session = http2.connect(streams())
    const stream = session.request({ ':path': '/hang/begun' })
    stream.on('error', () => {})
    await once(stream, 'response')
    stream.close(NGHTTP2_CANCEL)
    await logged('/hang/begun', 'client-disconnected')
    session.destroy()
  })

  for (const [what, spin] of [
    ['a call', async () => assert.equal(await unary('spin'), UNAVAILABLE)],
    ['a call whose response has begun', async () => assert.deepEqual(await many('spin'), ['first', UNAVAILABLE])],
    ['a stream', async () => assert.equal((await get(streams(), '/spin/body')).status, 503)],
    ['the compatibility API', async () => assert.equal((await get(server.url, '/spin')).status, 503)],
    [
      'a stream whose response has begun',
      async () => {
        const { body, code } = await get(streams(), '/spin/begun')
        assert.equal(body, 'first')
        assert.notEqual(code, 0, 'it is not taken for complete')
      },
    ],
  ] as const) {
    test(`are interrupted when they block, and answered; the others are served: ${what}`, async () => {
      await ready()
      const [before] = await Promise.all([unary('slow'), spin()])
      assert.equal(before, 'slow')
      // A client of gRPC gives up a connection on which no worker has answered for 20 s.
      await ready()
      assert.equal(await unary('next'), 'next')
    })
  }

  test('are named by incidents, with their method and path, and so are those in flight', async () => {
    const names = (target: string) => (incident: Incident) =>
      incident.outcome === 'interrupted' && incident.evidence.some(({ request }) => request?.target === target)
    const { evidence } = await server.incident('of a call', names('/test.Calls/Unary'))
    assert.ok(
      evidence.some(({ inFlight }) => inFlight.length === 2 && inFlight.every(({ method }) => method === 'POST')),
    )
    await server.incident('of a stream', names('/spin/body'))
  })

  test('survive reloads under load: no call or stream fails, and long ones are waited for', async () => {
    await ready()
    let isOver = false
    const failures: unknown[] = []
    let served = 0
    const client = async (one: () => Promise<Result>): Promise<void> => {
      while (!isOver) {
        const result = await one().catch((error: unknown) => error)
        if (result === 'load') served++
        else failures.push(result)
        // The new workers need the CPU, too.
        await sleep(5)
      }
    }
    const pool = new SessionPool(streams())
    const chat = new Promise<Result[]>((resolve) => {
      const results: Result[] = []
      const call = calls.Chat({ deadline: Date.now() + CALL_TIMEOUT })
      call
        .on('data', (message: Text) => void results.push(message.text))
        .on('error', (error: { readonly code: number }) => resolve([...results, error.code]))
        .on('end', () => resolve(results))
      call.write({ text: 'one' })
      setTimeout(() => call.write({ text: 'slow' }), 1_000)
      setTimeout(() => call.end(), 2_000)
    })
    const clients = [1, 2, 3, 4].flatMap(() => [client(() => unary('load')), client(() => pool.get('/load'))])
    for (let reload = 0; reload < 2; reload++) {
      const { code, stderr } = await server.command('reload')
      assert.equal(code, 0, stderr)
    }
    isOver = true
    await Promise.all(clients)
    pool.close()
    assert.deepEqual(failures, [])
    assert.ok(served > 100, String(served))
    assert.deepEqual(await chat, ['one', 'slow'])
  })

  test('that are not answered when the server stops get an error: a call UNAVAILABLE, a stream a reset', async () => {
    await ready()
    const open = Promise.all([many('hang'), get(streams(), '/hang/begun')])
    await server.until('both to be in flight', ({ workers }) => workers[0]?.inFlight === 2)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    const [call, { body, code }] = await open
    assert.deepEqual(call, ['first', UNAVAILABLE])
    assert.equal(body, 'first')
    assert.notEqual(code, 0)
  })
})

async function get(origin: string, path: string): Promise<Answer> {
  const session = http2.connect(origin)
  try {
    return await getOn(session, path)
  } finally {
    session.close()
  }
}
