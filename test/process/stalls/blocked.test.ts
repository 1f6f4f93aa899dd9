import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Incident, KernelEvidence } from '../../../src/diagnostics/incident.ts'
import { type KeepAliveClients, keepAliveClients, type Outcome, request, requests, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { within } from '../support/until.ts'
import { type NodeUnderTest, onEveryNode } from './every-node.ts'
import { frameIn, markedLine } from './source-line.ts'

const APP = join(import.meta.dirname, 'apps/blocked.ts')
const LIMITS = {
  workers: 1,
  stallReportAfter: '300ms',
  stallInterruptAfter: '1s',
  stallKillAfter: '4s',
  frozenKillAfter: '20s',
}
const IN_FLIGHT = 20
const UNREAD = 20

onEveryNode('a blocked worker is explained, and every client gets an answer', (node) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-pipe-'))
  const pipe = join(directory, 'pipe')
  let server: TestServer
  before(async () => {
    execFileSync('mkfifo', [pipe])
    server = await startServer({ entry: APP, settings: LIMITS, env: { PIPE: pipe }, node: node.binary })
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true })
  })

  test('in Atomics.wait: interrupted, or killed with emergency responses', async () => {
    const { incident } = await blockAndAnswer(server, 'memory', 'Atomics.wait', node)
    if (incident.outcome === 'killed') assert.equal(kernelOf(incident).doing, 'waiting')
    else assert.deepEqual(frameIn(incident, APP)?.line, markedLine(APP, 'memory').line)
  })

  test('in execSync: the child process is named, and killed with the worker', async () => {
    const { incident } = await blockAndAnswer(server, 'child', 'execSync', node)
    const kernel = kernelOf(incident)
    assert.equal(incident.outcome, 'killed')
    assert.equal(kernel.doing, 'waiting')
    assert.ok(kernel.children.includes('sleep'), `${kernel.children} holds the child`)
    assert.equal(incident.notInterrupted, 'blocked-in-system-call')
    assert.deepEqual(
      server.children().filter(({ command }) => command.includes('sleep')),
      [],
    )
  })

  test('in opening a pipe without a writer: the pipe is named', async () => {
    const { incident } = await blockAndAnswer(server, 'pipe', 'opening a FIFO', node)
    assertNamesPipe(incident, 'openat', pipe)
  })

  test('in reading a silent pipe: the pipe is named', async () => {
    // Opened for reading, too, because opening for writing only would wait for a reader.
    const writer = openSync(pipe, constants.O_RDWR)
    try {
      const { incident } = await blockAndAnswer(server, 'pipe', 'reading a FIFO', node)
      assertNamesPipe(incident, 'read', pipe)
    } finally {
      closeSync(writer)
    }
  })
})

/**
 * One block beside 20 requests in flight, 20 unread ones, and one on a connection that is not
 * accepted yet.
 */
async function blockAndAnswer(
  server: TestServer,
  path: string,
  title: string,
  node: NodeUnderTest,
): Promise<{ incident: Incident }> {
  const old = await server.worker()
  using clients = await keepAliveClients(UNREAD, `${server.url}/ok`)
  const inFlight = requests(IN_FLIGHT, `${server.url}/slow`)
  await server.until('all slow requests in flight', ({ workers }) => workers[0]?.inFlight === IN_FLIGHT)
  const culprit = request(`${server.url}/${path}`)
  await server.until('the worker to be stalled', ({ workers }) => workers[0]?.state === 'stalled')
  const { unread, sent } = sendUnread(clients, `${server.url}/ok`)
  await within('all requests to be on their way', sent)
  const late = request(`${server.url}/ok`)

  const answers = await Promise.all([culprit, ...inFlight])
  const unreadAnswers = await Promise.all(unread)
  const incident = await server.incident('over, and the worker replaced', ({ worker, exit, replacement }) => {
    return worker?.id === old.id && exit !== undefined && replacement !== undefined
  })
  node.note(title, incident.outcome)
  assert.equal((await late).status, 200, 'a connection that was not accepted waits for the next worker')
  if (incident.outcome === 'killed') {
    assert.deepEqual(tally([...answers, ...unreadAnswers]), { 503: IN_FLIGHT + UNREAD + 1 })
    assertLastAnswers([...answers, ...unreadAnswers], incident)
    assert.equal(incident.exit?.signal, 'SIGKILL')
  } else {
    assert.equal(incident.outcome, 'interrupted')
    assert.deepEqual(tally(answers), { 200: IN_FLIGHT, 503: 1 })
    assert.deepEqual(tally(unreadAnswers), { 200: UNREAD })
  }
  const { inFlight: listed, inFlightCount } = incident.evidence[0] ?? { inFlight: [] }
  assert.equal(inFlightCount, IN_FLIGHT + 1)
  assert.equal(listed.filter(({ target }) => target === '/slow').length, IN_FLIGHT)
  assert.ok(listed.some(({ target }) => target === `/${path}`))
  const { request: named } = incident.evidence.findLast(({ request }) => request !== null) ?? {}
  assert.deepEqual({ method: named?.method, target: named?.target }, { method: 'GET', target: `/${path}` })
  await server.until('the next worker to serve alone', ({ workers }) => {
    return workers.length === 1 && workers[0]?.id !== old.id && workers[0]?.state === 'ready'
  })
  return { incident }
}

/**
 * `sent` resolves when the kernel has all of them; the worker is blocked and does not read them.
 */
function sendUnread(
  clients: KeepAliveClients,
  url: string,
): {
  unread: Promise<Outcome>[]
  sent: Promise<void>
} {
  let count = 0
  let unread: Promise<Outcome>[] = []
  const sent = new Promise<void>((resolve) => {
    unread = clients.all(url, {
      onSent: () => {
        if (++count === UNREAD) resolve()
      },
    })
  })
  return { unread, sent }
}

function assertLastAnswers(answers: readonly Outcome[], incident: Incident): void {
  for (const { headers, body } of answers) {
    assert.equal(headers['content-type'], 'application/problem+json')
    assert.match(headers['retry-after'] ?? '', /^\d+$/)
    assert.equal(JSON.parse(body).status, 503)
  }
  const { inFlight, unread, closed } = incident.emergencyResponses ?? {}
  assert.deepEqual({ inFlight, unread, closed }, { inFlight: IN_FLIGHT + 1, unread: UNREAD, closed: 0 })
}

function assertNamesPipe(incident: Incident, syscall: string, pipe: string): void {
  const kernel = kernelOf(incident)
  assert.equal(incident.outcome, 'killed')
  assert.equal(kernel.doing, 'waiting')
  assert.equal(kernel.syscall, syscall)
  assert.equal(kernel.target, pipe)
}

function kernelOf(incident: Incident): KernelEvidence {
  const kernel = incident.evidence.at(-1)?.kernel
  assert.ok(kernel, 'the kernel was asked')
  return kernel
}
