import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { onEveryNode } from './every-node.ts'
import { frameIn, markedLine } from './source-line.ts'

const entry = join(import.meta.dirname, 'apps/controlled.ts')
const LIMITS = {
  workers: 1,
  stallReportAfter: '500ms',
  stallInterruptAfter: '1s',
  stallKillAfter: '6s',
  frozenKillAfter: '20s',
}
const env = { STOP_FILE: './stop' }

onEveryNode('thresholds and stallAction bound what is done about a stall', (node) => {
  test('a stall that ends by itself is reported as ended, with its length, and nothing else is done', async () => {
    const settings = {
      ...LIMITS,
      stallInterruptAfter: '30s',
      stallKillAfter: '31s',
      frozenKillAfter: '60s',
      requestTimeout: '40s',
      drainTimeout: '41s',
      stopTimeout: '42s',
    }
    await using server = await startServer({ entry, settings, env, node: node.binary })
    const { pid } = await server.worker()
    const answer = request(`${server.url}/until-file`)
    const reported = await server.incident('reported', ({ outcome, evidence }) => {
      return outcome === 'ongoing' && evidence[0]?.request?.target === '/until-file'
    })
    writeFileSync(join(server.directory.path, 'stop'), '')
    assert.equal((await answer).body, String(pid))
    const ended = await server.incident('over', ({ id, outcome }) => id === reported.id && outcome !== 'ongoing')
    node.note('a stall that ends by itself', ended.outcome)
    assert.equal(ended.outcome, 'ended')
    assert.ok((ended.stalledForMs ?? 0) >= (reported.stalledForMs ?? 0))
    assert.equal(frameIn(ended, entry)?.function, 'spinUntilFile')
    assert.equal(ended.exit, undefined)
    assert.equal((await request(`${server.url}/ok`)).body, String(pid))
    const { workers } = await server.until('the worker to be ready again', (status) => status.ready)
    assert.equal(workers[0]?.tainted, false)
  })

  test('a blocking job within its timeout is not a stall; beyond it, it is interrupted and named', async () => {
    await using server = await startServer({ entry, settings: LIMITS, env, node: node.binary })
    const { pid } = await server.worker()
    assert.equal((await request(`${server.url}/report`)).body, String(pid), '2.5 s, with an interrupt at 1 s')
    const jobs = (await server.incidents()).flatMap(({ evidence }) => evidence).map((seen) => seen.allowBlocking)
    assert.ok(!jobs.includes('report'), 'a busy machine may cause other stalls, but not this one')
    const long = await request(`${server.url}/export`)
    assert.equal(long.status, 503)
    const incident = await server.incident('interrupted', ({ outcome }) => outcome === 'interrupted')
    node.note('a blocking job beyond its timeout', incident.outcome)
    assert.equal(incident.evidence.at(-1)?.allowBlocking, 'export')
    const frame = frameIn(incident, entry)
    assert.deepEqual([frame?.function, frame?.line], ['spin', markedLine(entry, 'spin').line])
  })

  test('stallAction report: reported, never interrupted or killed', async () => {
    const settings = { ...LIMITS, stallKillAfter: '2s', stallAction: 'report' }
    await using server = await startServer({ entry, settings, env, node: node.binary })
    const { pid } = await server.worker()
    const answer = request(`${server.url}/until-file`)
    await server.until('the stall to outlast every limit', ({ workers }) => (workers[0]?.heartbeatAgeMs ?? 0) > 3_000)
    writeFileSync(join(server.directory.path, 'stop'), '')
    assert.equal((await answer).body, String(pid))
    const incident = await server.incident('over', ({ outcome, evidence }) => {
      return outcome !== 'ongoing' && evidence[0]?.request?.target === '/until-file'
    })
    node.note('stallAction report', incident.outcome)
    assert.equal(incident.outcome, 'ended')
    assert.ok(incident.evidence.every(({ stage }) => stage === 'report'))
  })

  test('stallAction interrupt: a stall that cannot be interrupted may end, and the worker continues', async () => {
    const settings = { ...LIMITS, stallKillAfter: '2s', stallAction: 'interrupt' }
    await using server = await startServer({ entry, settings, env, node: node.binary })
    const { pid } = await server.worker()
    const answer = request(`${server.url}/child`)
    await server.until('the stall to outlast every limit', ({ workers }) => (workers[0]?.heartbeatAgeMs ?? 0) > 3_000)
    const sleeping = server.children().find(({ command }) => command === 'sleep 60')
    process.kill(sleeping?.pid ?? 0, 'SIGKILL')
    assert.equal((await answer).body, String(pid))
    const incident = await server.incident('over', ({ outcome, evidence }) => {
      return outcome !== 'ongoing' && evidence[0]?.request?.target === '/child'
    })
    node.note('stallAction interrupt, blocked in a system call', incident.outcome)
    assert.equal(incident.outcome, 'ended')
    assert.equal(incident.notInterrupted, 'blocked-in-system-call')
    assert.equal((await request(`${server.url}/ok`)).body, String(pid))
  })
})
