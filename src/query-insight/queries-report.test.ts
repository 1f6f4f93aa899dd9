import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QueriesReport } from './queries-report.ts'
import { queriesMetrics } from './queries-report.ts'

const REPORT: QueriesReport = {
  queries: 1_000,
  failed: 10,
  rows: 5_000,
  requestsOverLimit: 3,
  routes: [{ route: 'GET /one', requests: 50, queries: 200, max: 7 }],
  repeats: [
    {
      place: 'src/list.ts:31',
      fingerprint: 'abc',
      sql: 'select 1',
      kind: 'rows',
      route: 'GET /one',
      requests: 2,
      queries: 12,
      max: 7,
    },
  ],
  slowest: [
    {
      fingerprint: 'abc',
      sql: 'select 1',
      pool: 'main',
      count: 400,
      failed: 4,
      rows: 800,
      totalMs: 2_500,
      p99Ms: 30,
      explainable: null,
    },
  ],
}

test('each figure is exported once, in base units and with its labels', () => {
  const figures = new Map<string, number>()
  for (const { name, type, labels, values } of queriesMetrics) {
    assert.match(name, type === 'counter' ? /^punctual_\w+_total$/ : /^punctual_\w+(?<!_total)$/)
    for (const { labels: given, value } of values(REPORT)) {
      assert.deepEqual(Object.keys(given), labels)
      const figure = [name, ...Object.values(given)].join(' ')
      assert.ok(!figures.has(figure), figure)
      figures.set(figure, value)
    }
  }
  assert.deepEqual(
    figures,
    new Map([
      ['punctual_queries_total', 1_000],
      ['punctual_queries_failed_total', 10],
      ['punctual_query_rows_total', 5_000],
      ['punctual_requests_over_query_limit_total', 3],
      ['punctual_route_queries_total GET /one', 200],
      ['punctual_route_query_requests_total GET /one', 50],
      ['punctual_route_queries_max GET /one', 7],
      ['punctual_query_repeats_total src/list.ts:31 abc rows', 12],
      ['punctual_query_seconds_total abc', 2.5],
      ['punctual_query_runs_total abc', 400],
      ['punctual_query_duration_seconds abc 0.99', 0.03],
    ]),
  )
})
