import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Incident } from '../../../src/diagnostics/incident.ts'
import { keepAliveClients, type Outcome, request, requests, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type NodeUnderTest, onEveryNode } from './every-node.ts'
import { frameIn, markedLine } from './source-line.ts'

const APPS = join(import.meta.dirname, 'apps')
const CULPRITS = join(APPS, 'culprits.ts')
const LIMITS = {
  workers: 1,
  stallReportAfter: '300ms',
  stallInterruptAfter: '1s',
  stallKillAfter: '25s',
  frozenKillAfter: '28s',
}

interface Case {
  /** Path of the request, and name of the marked line that stalls. */
  readonly path: string
  readonly title: string
  readonly function: string
  readonly body?: string
  /** The file of the line. */
  readonly file?: string
  /** Printed by what comes after it in the same turn of the event loop. */
  readonly prints?: string
}

const CASES: readonly Case[] = [
  { path: 'handler', title: 'in a handler', function: 'handler' },
  { path: 'after-await', title: 'after an await', function: 'afterAwait' },
  { path: 'timer', title: 'in a timer', function: 'timerCallback' },
  { path: 'tick', title: 'in a tick', function: 'tickCallback' },
  {
    path: 'immediate',
    title: 'in an immediate, before and after others',
    function: 'immediateCallback',
    prints: 'the next immediate',
  },
  { path: 'stream-event', title: 'in a stream event', function: 'endCallback', body: 'x'.repeat(200_000) },
  { path: 'own-storage', title: "under the app's own AsyncLocalStorage", function: 'storageCallback' },
  { path: 'regex', title: 'in a catastrophic regex', function: 'regex' },
  { path: 'sort', title: 'in a big sort', function: 'comparator' },
  { path: 'json', title: 'in a big JSON.parse', function: 'json' },
]

onEveryNode('a stall is explained, interrupted and answered, and other requests are served', (node) => {
  let server: TestServer
  before(async () => {
    server = await startServer({ entry: join(APPS, 'plain.ts'), settings: LIMITS, node: node.binary })
  })
  after(() => server[Symbol.asyncDispose]())

  for (const one of CASES) test(one.title, () => assertInterrupted(server, one, node))
})

for (const app of ['fastify.ts', 'express.js']) {
  onEveryNode(`behind the body parser of ${app}`, (node) => {
    test('a POST handler that spins is identified by its request and interrupted', async () => {
      const entry = join(APPS, app)
      await using server = await startServer({ entry, settings: LIMITS, node: node.binary })
      const body = JSON.stringify({ count: 1 })
      const one = {
        path: 'orders',
        title: 'in a POST handler',
        function: 'createOrder',
        body,
        file: entry,
      }
      await assertInterrupted(server, one, node)
    })
  })
}

/** One stall beside 20 slow requests on the only worker, half of them on reused connections. */
async function assertInterrupted(server: TestServer, one: Case, node: NodeUnderTest): Promise<void> {
  const old = await server.worker()
  using clients = await keepAliveClients(10, `${server.url}/ok`)
  const slow = [...requests(10, `${server.url}/slow`), ...clients.all(`${server.url}/slow`)]
  await server.until('20 requests in flight', ({ workers }) => workers[0]?.inFlight === 20)
  const tainted = server.until('the worker to be tainted', ({ workers }) =>
    workers.some(({ id, tainted }) => id === old.id && tainted),
  )
  const method = one.body === undefined ? 'GET' : 'POST'
  const culprit = await request(`${server.url}/${one.path}`, {
    method,
    ...(one.body === undefined ? {} : { body: one.body, headers: { 'content-type': 'application/json' } }),
  })

  assertStalled(culprit)
  assert.deepEqual(tally(await Promise.all(slow)), { 200: 20 }, 'every other request is served')
  await tainted
  const next = await request(`${server.url}/ok`)
  assert.equal(next.status, 200, 'a new request is served')
  if (one.prints !== undefined) await server.log(({ msg }) => msg === one.prints)

  const incident = await server.incident(
    'interrupted, and the worker replaced',
    ({ worker, outcome, exit, replacement }) => {
      return worker?.id === old.id && outcome === 'interrupted' && exit !== undefined && replacement !== undefined
    },
  )
  node.note(one.title, incident.outcome)
  assertExplained(incident, one, method)
  assert.equal(incident.culprit, '503')
  assert.deepEqual(incident.others, { inFlight: 20, served: 20 })
  assert.deepEqual(incident.exit, { code: 0, signal: null }, 'it drained and exited')
  const status = await server.until('the tainted worker to be gone', ({ workers }) => {
    return workers.length === 1 && workers[0]?.id !== old.id && workers[0]?.state === 'ready'
  })
  assert.deepEqual(status.restarts, {}, 'an interrupt is not a failure')
  assertReplacedFirst(server, old.id, incident)
}

function assertStalled(culprit: Outcome): void {
  assert.equal(culprit.kind, 'answer', culprit.why)
  assert.equal(culprit.status, 503)
  assert.equal(culprit.headers['content-type'], 'application/problem+json')
  assert.match(culprit.headers['retry-after'] ?? '', /^\d+$/)
  assert.equal(JSON.parse(culprit.body).status, 503)
}

function assertExplained(incident: Incident, one: Case, method: string): void {
  const place = markedLine(one.file ?? CULPRITS, one.path)
  const frame = frameIn(incident, place.file)
  assert.equal(frame?.function, one.function, incident.summary)
  assert.equal(frame.line, place.line)
  const { request: line, kernel } = incident.evidence.at(-1) ?? {}
  assert.deepEqual({ method: line?.method, target: line?.target }, { method, target: `/${one.path}` })
  assert.equal(kernel?.doing, 'spinning')
}

/** The worker exits after its replacement is ready. */
function assertReplacedFirst(server: TestServer, old: number, incident: Incident): void {
  const at = (wanted: string, id: number | undefined): number =>
    server.lines.findIndex(({ event, worker }) => event === wanted && worker === id)
  const ready = at('worker-ready', incident.replacement?.worker)
  assert.ok(ready !== -1 && ready < at('worker-exited', old), 'its replacement was ready before it exited')
}
