import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Incident } from '../../../src/diagnostics/incident.ts'
import { keepAliveClients, type Outcome, request, requests, tally } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { type NodeUnderTest, onEveryNode } from './every-node.ts'

const entry = join(import.meta.dirname, 'apps/stubborn.ts')
const LIMITS = {
  workers: 1,
  stallReportAfter: '300ms',
  stallInterruptAfter: '800ms',
  stallKillAfter: '2500ms',
  frozenKillAfter: '20s',
}

onEveryNode('when one interrupt is not enough', (node) => {
  test('a second stall in a tainted worker ends in a kill with emergency responses', async () => {
    await using server = await startServer({ entry, settings: LIMITS, node: node.binary })
    const old = await server.worker()
    using clients = await keepAliveClients(1, `${server.url}/ok`)
    const held = requests(10, `${server.url}/hold`)
    await server.until('all requests in flight', ({ workers }) => workers[0]?.inFlight === 10)
    assert.deepEqual(tally([await request(`${server.url}/spin`)]), { 503: 1 })
    const second = await Promise.all(clients.all(`${server.url}/spin`))
    assert.equal(second[0]?.reused, true, 'it reached the tainted worker')
    assert.deepEqual(tally([...second, ...(await Promise.all(held))]), { 503: 11 })

    await server.incident('killed', ({ outcome, exit }) => outcome === 'killed' && exit !== undefined)
    const [interrupted, killed] = (await server.incidents()).filter(({ worker }) => worker?.id === old.id)
    assert.equal(interrupted?.outcome, 'interrupted')
    assert.equal(interrupted.culprit, '503')
    assert.equal(killed?.outcome, 'killed')
    assert.equal(killed.notInterrupted, 'interrupted-before')
    const { inFlight = 0, unread = 0, closed } = killed.emergencyResponses ?? {}
    assert.deepEqual([inFlight + unread, closed], [11, 0])
    node.note('a second stall in a tainted worker', killed.outcome)
    await serves(server, old.id)
  })

  test('two requests that spin one after the other: every client is answered', async () => {
    await using server = await startServer({ entry, settings: LIMITS, node: node.binary })
    await endsWithAnswers(server, ['spin', 'spin', 'spin'], 'two more spins queued behind a spin', node)
  })

  for (const [path, title] of [
    ['ticks', 'endless process.nextTick'],
    ['microtasks', 'endless microtasks'],
  ] as const) {
    test(`${title}: every client is answered`, async () => {
      await using server = await startServer({ entry, settings: LIMITS, node: node.binary })
      await endsWithAnswers(server, [path], title, node)
    })
  }
})

async function endsWithAnswers(
  server: TestServer,
  paths: readonly string[],
  title: string,
  node: NodeUnderTest,
): Promise<void> {
  const old = await server.worker()
  const slow = requests(10, `${server.url}/slow`)
  await server.until('all requests in flight', ({ workers }) => workers[0]?.inFlight === 10)
  const culprits = await Promise.all(paths.map((path) => request(`${server.url}/${path}`)))
  const others = await Promise.all(slow)
  const incident = await server.incident('over, and the worker gone', ({ worker, outcome, exit }) => {
    return worker?.id === old.id && outcome !== 'ongoing' && exit !== undefined
  })
  node.note(title, incident.outcome)
  assert.ok(['interrupted', 'killed'].includes(incident.outcome), incident.summary)
  assertAnswered(culprits, ['503'], incident)
  assertAnswered(others, ['200', '503'], incident)
  await serves(server, old.id)
}

function assertAnswered(outcomes: readonly Outcome[], words: readonly string[], incident: Incident): void {
  const counts = tally(outcomes)
  const others = Object.keys(counts).filter((word) => !words.includes(word))
  assert.deepEqual(others, [], `${JSON.stringify([counts, incident.emergencyResponses])} ${incident.summary}`)
}

/** Another worker serves instead. */
async function serves(server: TestServer, old: number): Promise<void> {
  await server.until('another worker to serve', ({ workers }) => {
    return workers.length === 1 && workers[0]?.id !== old && workers[0]?.state === 'ready'
  })
  assert.equal((await request(`${server.url}/ok`)).status, 200)
}
