import assert from 'node:assert/strict'
import { test } from 'node:test'
import { register } from 'prom-client'
import { aWorker } from '../../test/status-samples.ts'
import { METRICS } from '../cli/metrics.ts'
import { renderMetrics } from './metrics.ts'
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
  const lines = (await renderMetrics(status, METRICS)).split('\n')
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
  const text = await renderMetrics(status, METRICS)
  assert.ok(!text.includes('loop_lag_seconds{worker="2"}'))
  assert.ok(!text.includes('worker="3"'))
})

test('every metric has a description and a name in the style of Prometheus', async () => {
  const text = await renderMetrics(status, METRICS)
  for (const { name, type, help } of METRICS) {
    assert.ok(text.includes(`# HELP ${name} ${help}`) && text.includes(`# TYPE ${name} ${type}`), name)
    assert.match(name, /^punctual_[a-z_]+$/)
    assert.equal(name.endsWith('_total'), type === 'counter', name)
    assert.doesNotMatch(name, /_(ms|milliseconds|kb|mb|megabytes)(_|$)/)
  }
  assert.equal((text.match(/^# TYPE /gm) ?? []).length, METRICS.length)
})

test('a second scrape shows only the new state', async () => {
  await renderMetrics(status, METRICS)
  const text = await renderMetrics({ ...status, workers: [aWorker({ id: 9, requests: 1 })], restarts: {} }, METRICS)
  assert.ok(!text.includes('worker="1"') && !text.includes('reason="crash"'))
  assert.ok(text.includes('punctual_worker_requests_total{worker="9"} 1'))
  assert.deepEqual(register.getMetricsAsArray(), [])
})
