import assert from 'node:assert/strict'
import { test } from 'node:test'
import { register } from 'prom-client'
import { aWorker } from '../../test/status-samples.ts'
import { cacheMetrics } from '../cache/cache-report.ts'
import { queriesMetrics } from '../query-insight/queries-report.ts'
import { queueMetrics } from '../queue/queue-report.ts'
import { routesMetrics } from '../routes/routes-report.ts'
import { bootMetrics } from './boot-report.ts'
import type { ReportedMetric } from './metric-definition.ts'
import { ARBITER_METRICS, renderMetrics } from './metrics.ts'
import type { Status } from './status.ts'

const status: Status = {
  name: 'app "one"',
  version: '0.1.0',
  pid: 100,
  phase: 'running',
  generation: 3,
  wanted: 2,
  startedAt: '2026-11-22T00:43:31.000Z',
  uptimeMs: 1_000,
  ready: true,
  address: 'http://0.0.0.0:3000',
  workers: [
    aWorker({}),
    aWorker({
      id: 2,
      state: 'booting',
      bootMs: null,
      heartbeatAgeMs: null,
      loopLagMs: null,
      rssBytes: null,
      heapUsedBytes: null,
    }),
    aWorker({ id: 3, state: 'exited', pid: null }),
  ],
  restarts: { crash: 2, stall: 1 },
  incidents: { total: 3, newest: 'x', byKind: { stall: 1, crash: 2 } },
  set: {},
}

test('the values are those of the status in base units', async () => {
  const lines = (await renderMetrics(status)).split('\n')
  for (const line of [
    `punctual_build_info{version="0.1.0",node_version="${process.versions.node}"} 1`,
    'punctual_start_time_seconds 1795308211',
    'punctual_ready 1',
    'punctual_generation 3',
    'punctual_workers_wanted 2',
    'punctual_workers{state="ready"} 1',
    'punctual_workers{state="booting"} 1',
    'punctual_workers{state="stalled"} 0',
    'punctual_restarts_total{reason="crash"} 2',
    'punctual_incidents_total{kind="stall"} 1',
    'punctual_worker_info{worker="1",pid="101",generation="1"} 1',
    'punctual_worker_age_seconds{worker="1"} 61.5',
    'punctual_worker_boot_duration_seconds{worker="1"} 0.25',
    'punctual_worker_requests_total{worker="1"} 1200',
    'punctual_worker_requests_in_flight{worker="1"} 3',
    'punctual_worker_requests_queued{worker="1"} 1',
    'punctual_worker_requests_would_be_shed_total{worker="1"} 4',
    'punctual_worker_overloaded{worker="1"} 0',
    'punctual_worker_loop_lag_seconds{worker="1"} 0.012',
    'punctual_worker_heartbeat_age_seconds{worker="1"} 0.002',
    `punctual_worker_resident_memory_bytes{worker="1"} ${70 * 2 ** 20}`,
    'punctual_worker_requests_ended_total{worker="1",outcome="timed-out"} 7',
    'punctual_worker_requests_ended_total{worker="1",outcome="client-disconnected"} 0',
    'punctual_worker_abandoned_operations{worker="1"} 2',
  ]) {
    assert.ok(lines.includes(line), line)
  }
})

test('unknown values are absent, and exited workers are not shown', async () => {
  const text = await renderMetrics(status)
  assert.ok(!text.includes('loop_lag_seconds{worker="2"}'))
  assert.ok(!text.includes('worker="3"'))
})

test('every metric has a description and a name in the style of Prometheus', async () => {
  const text = await renderMetrics(status)
  for (const { name, type, help } of ARBITER_METRICS) {
    assert.ok(text.includes(`# HELP ${name} ${help}`) && text.includes(`# TYPE ${name} ${type}`), name)
  }
  assert.equal((text.match(/^# TYPE /gm) ?? []).length, ARBITER_METRICS.length)
  const ofModules = [cacheMetrics, queriesMetrics, queueMetrics, routesMetrics, bootMetrics].flat()
  for (const { name, type } of [...ARBITER_METRICS, ...ofModules]) {
    assert.match(name, /^punctual_[a-z_]+$/)
    assert.equal(name.endsWith('_total'), type === 'counter', name)
    assert.doesNotMatch(name, /_(ms|milliseconds|kb|mb|megabytes)(_|$)/)
  }
})

test('reported metrics describe themselves, get the worker as a label, and cannot fail a scrape', async () => {
  const sent = (name: string, value: number, change: Partial<ReportedMetric> = {}): ReportedMetric => ({
    name,
    type: 'counter',
    help: 'Mails sent.',
    labels: ['queue'],
    samples: [{ labels: { queue: 'mails' }, value }],
    ...change,
  })
  const text = await renderMetrics(
    status,
    new Map([
      [1, [sent('punctual_mails_total', 5), sent('no valid name', 1), sent('punctual_ready', 7)]],
      [
        2,
        [
          sent('punctual_mails_total', 6),
          sent('punctual_mails_total', 9, { type: 'gauge' }),
          sent('punctual_mails_total', 9, { labels: ['name'], samples: [{ labels: { name: 'mails' }, value: 9 }] }),
          sent('punctual_mails_total', null as unknown as number),
        ],
      ],
      [3, [sent('punctual_mails_total', 8)]],
    ]),
  )
  const lines = text.split('\n')
  assert.ok(lines.includes('# HELP punctual_mails_total Mails sent.'))
  assert.deepEqual(
    lines.filter((line) => /^(?:punctual_mails|punctual_ready|no valid)/.test(line)),
    [
      'punctual_ready 1',
      'punctual_mails_total{worker="1",queue="mails"} 5',
      'punctual_mails_total{worker="2",queue="mails"} 6',
    ],
  )
})

test('a second scrape shows only the new state', async () => {
  await renderMetrics(status)
  const text = await renderMetrics({ ...status, workers: [aWorker({ id: 9, requests: 1 })], restarts: {} })
  assert.ok(!text.includes('worker="1"') && !text.includes('reason="crash"'))
  assert.ok(text.includes('punctual_worker_requests_total{worker="9"} 1'))
  assert.deepEqual(register.getMetricsAsArray(), [])
})
