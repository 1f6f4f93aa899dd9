import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReportedMetric } from '../diagnostics/metric-definition.ts'
import { MessageRelay, reassignOrphans } from './message-relay.ts'

function relayOf(...workers: readonly number[]): { relay: MessageRelay; sent: string[] } {
  const relay = new MessageRelay()
  const sent: string[] = []
  for (const worker of workers) {
    relay.addWorker(worker, (message) => {
      assert.ok(message.type === 'relay')
      sent.push(`${worker} ${message.topic} ${JSON.stringify(message.message)}`)
    })
  }
  return { relay, sent }
}

/** Makes a worker report that it has a durable queue. */
function ownerOf(relay: MessageRelay): (worker: number) => boolean {
  return (worker) => {
    const message = { type: 'owner', owner: `o${worker}` }
    return relay.handle(worker, { type: 'relay', to: 'arbiter', topic: 'queue', message })
  }
}

test('a broadcast reaches all other workers, not its sender', () => {
  const { relay, sent } = relayOf(1, 2, 3)
  assert.equal(relay.handle(2, { type: 'relay', to: 'others', topic: 'cache', message: ['key'] }), true)
  assert.deepEqual(sent, ['1 cache ["key"]', '3 cache ["key"]'])
})

const metric = (value: number): ReportedMetric => ({
  name: 'punctual_cache_items',
  type: 'gauge',
  help: 'Items.',
  labels: [],
  samples: [{ labels: {}, value }],
})

test('the latest report of a worker is kept until it exits', () => {
  const { relay } = relayOf(1)
  relay.handle(1, { type: 'modules', modules: { cache: 1 }, metrics: [metric(1)] })
  relay.handle(1, { type: 'modules', modules: { cache: 2 }, metrics: [metric(2)] })
  assert.deepEqual(relay.reportsOf(1), { cache: 2 })
  assert.deepEqual(relay.metrics, new Map([[1, [metric(2)]]]))
  relay.removeWorker(1)
  relay.handle(1, { type: 'modules', modules: { cache: 3 }, metrics: [metric(3)] })
  assert.deepEqual(relay.reportsOf(1), {})
  assert.equal(relay.metrics.size, 0)
})

test('other messages are not handled', () => {
  const { relay } = relayOf(1)
  assert.equal(relay.handle(1, { type: 'drained', answered: 0, aborted: 0, closedUpgrades: 0 }), false)
})

test('the newest worker with a queue gets the orphaned items of a worker that exited', () => {
  const { relay, sent } = relayOf(1, 2, 3, 4)
  reassignOrphans(relay)
  const own = ownerOf(relay)
  own(1)
  own(2)
  own(3)
  relay.removeWorker(3)
  relay.removeWorker(4)
  assert.deepEqual(sent, ['2 queue {"type":"adopt","owner":"o3"}'])
  relay.removeWorker(1)
  relay.removeWorker(2)
  assert.deepEqual(sent.slice(1), ['2 queue {"type":"adopt","owner":"o1"}'])
})

test('a late message of an exited worker reaches the others, and it gets no orphaned items', () => {
  const { relay, sent } = relayOf(1, 2, 3)
  reassignOrphans(relay)
  const own = ownerOf(relay)
  own(1)
  own(2)
  relay.removeWorker(3)
  own(3)
  relay.handle(3, { type: 'relay', to: 'others', topic: 'cache', message: ['key'] })
  assert.deepEqual(sent, ['1 cache ["key"]', '2 cache ["key"]'])
  relay.removeWorker(1)
  assert.deepEqual(sent.slice(2), ['2 queue {"type":"adopt","owner":"o1"}'])
})
