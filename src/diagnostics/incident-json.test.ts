import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Incident, StallEvidence } from './incident.ts'
import { incidentJson } from './incident-json.ts'

const request = (index: number) => ({ method: 'GET', target: `/${index}/${'é'.repeat(200)}`, ageMs: index })

const evidence = (stage: StallEvidence['stage']): StallEvidence => ({
  stage,
  stalledForMs: 1_000,
  stack: Array.from({ length: 100 }, (_, index) => ({
    function: `f${index}`,
    file: `/app/${'d/'.repeat(50)}a.ts`,
    line: index,
    column: 1,
  })),
  request: request(0),
  inFlight: Array.from({ length: 50 }, (_, index) => request(index)),
  inFlightCount: 5_000,
  kernel: {
    doing: 'waiting',
    cpuShare: 0,
    wchan: 'do_wait',
    syscall: 'wait4',
    target: null,
    children: Array.from({ length: 40 }, () => 'c'.repeat(4_000)),
  },
  loopLag: Array.from({ length: 600 }, () => 1.23456),
  memory: { rss: 1, heapUsed: 1, heapLimit: 1 },
  allowBlocking: null,
})

const incident: Incident = {
  id: '20261122T004331123-w2-stall',
  kind: 'stall',
  at: '2026-11-22T00:43:31.123Z',
  worker: { id: 2, pid: 7, generation: 1 },
  summary: 's'.repeat(3_000),
  outcome: 'killed',
  evidence: [evidence('report'), evidence('interrupt'), evidence('kill')],
}

test('an incident that fits is not shortened', () => {
  assert.deepEqual(JSON.parse(incidentJson(incident, 10 ** 7)), incident)
})

test('one that does not fit is valid JSON of any maximum size and lists what is left out', () => {
  for (const limit of [500_000, 200_000, 100_000, 64 * 1024, 30_000, 10_000, 5_000, 2_000]) {
    const json = incidentJson(incident, limit)
    assert.ok(Buffer.byteLength(json) <= limit, `${Buffer.byteLength(json)} of ${limit}`)
    const read = JSON.parse(json) as Incident
    assert.equal(read.id, incident.id)
    assert.equal(read.outcome, 'killed')
    assert.ok((read.truncated ?? []).length > 0)
    assert.ok(Array.isArray(read.evidence))
  }
})

test('the stack is kept longer than the list of requests', () => {
  const read = JSON.parse(incidentJson(incident, 64 * 1024)) as Incident
  assert.equal(read.evidence.length, 3)
  assert.ok((read.evidence[0]?.stack ?? []).length >= 5)
  assert.equal(read.evidence[0]?.inFlightCount, 5_000)
})

test('one that never fits is written as small as possible', () => {
  const read = JSON.parse(incidentJson(incident, 10)) as Incident
  assert.equal(read.kind, 'stall')
  assert.deepEqual(read.evidence, [])
})
