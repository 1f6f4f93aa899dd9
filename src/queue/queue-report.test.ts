import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type QueueReport, type QueuesReport, queueMetrics } from './queue-report.ts'

const QUEUE: QueueReport = {
  state: 'delivering',
  depth: 12,
  bytes: 2_400,
  oldestAgeMs: 1_500,
  late: false,
  inMemory: 3,
  accepted: 100,
  delivered: 80,
  batches: 8,
  failures: 2,
  retries: 1,
  drops: { full: 5, oldest: 1 },
  deadLetters: 1,
  adopted: 4,
  degraded: 'no space left on /x',
  inHandler: { forMs: 250, items: 10, attempt: 1 },
  abandonedCalls: 1,
  jobs: null,
  lastDeliveredAt: null,
  lastError: null,
}
const REPORT: QueuesReport = { queues: { one: QUEUE, two: { ...QUEUE, oldestAgeMs: null, degraded: null, drops: {} } } }

test('each metric of each queue has one value, in base units, with the declared labels', () => {
  const seen = new Set<string>()
  const figures = new Map<string, number>()
  for (const { name, type, labels, values } of queueMetrics) {
    assert.match(name, type === 'counter' ? /^punctual_queue_\w+_total$/ : /^punctual_queue_\w+(?<!_total)$/)
    assert.ok(!seen.has(name))
    seen.add(name)
    for (const { labels: given, value } of values(REPORT)) {
      assert.deepEqual(Object.keys(given), labels)
      figures.set(`${name} ${Object.values(given).join(' ')}`, value)
    }
  }
  assert.equal(figures.get('punctual_queue_items one'), 12)
  assert.equal(figures.get('punctual_queue_oldest_age_seconds one'), 1.5)
  assert.equal(figures.get('punctual_queue_oldest_age_seconds two'), 0)
  assert.equal(figures.get('punctual_queue_degraded one'), 1)
  assert.equal(figures.get('punctual_queue_degraded two'), 0)
  assert.equal(figures.get('punctual_queue_handler_running_seconds one'), 0.25)
  assert.equal(figures.get('punctual_queue_batches_total one failed'), 2)
  assert.equal(figures.get('punctual_queue_dropped_total one full'), 5)
  assert.ok(![...figures.keys()].some((key) => key.startsWith('punctual_queue_dropped_total two')))
})
