import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AccessRecord, AccessWait } from './access-record.ts'
import { formatAccessLine } from './access-sentence.ts'

const record = (given: Partial<AccessRecord>): AccessRecord => ({
  method: 'GET',
  route: '/prices',
  status: 200,
  outcome: 'completed',
  durationMs: 500,
  queuedMs: 0,
  worker: 1,
  requestId: 'abc',
  ...given,
})
const sentence = (given: Partial<AccessRecord> = {}, waiting = ''): string => formatAccessLine(record(given), waiting)
const wait = (name: string, ms: number, outcome: AccessWait['outcome'], share = ms / 5): AccessWait => ({
  name,
  ms,
  share,
  outcome,
})

describe('the sentence of a request', () => {
  it('says what was asked for, how it ended and how long it took', () => {
    assert.equal(sentence(), 'GET /prices 200 after 500 ms')
    assert.equal(sentence({ outcome: 'failed', status: 500 }), 'GET /prices 500 failed after 500 ms')
    assert.equal(sentence({ outcome: 'failed', status: null }), 'GET /prices failed unanswered after 500 ms')
    assert.equal(sentence({ outcome: 'shed', status: 503 }), 'GET /prices 503 shed after 500 ms')
    assert.equal(sentence({ outcome: 'timed-out', cut: true }), 'GET /prices cut while streaming after 500 ms')
    assert.equal(
      sentence({ outcome: 'client-disconnected', status: null, method: 'POST', durationMs: 12_340 }),
      'POST /prices: its client left after 12.3 s',
    )
    assert.equal(
      sentence({ outcome: 'client-disconnected', cut: true }),
      'GET /prices: its client left while streaming after 500 ms',
    )
    assert.equal(
      sentence({ outcome: 'shutdown', status: 503 }),
      'GET /prices 503 given up after 500 ms: its worker had to leave',
    )
  })

  it('says how long it was queued where that was a tenth of it', () => {
    assert.equal(sentence({ queuedMs: 50 }), 'GET /prices 200 after 500 ms, 50 ms of it queued')
    assert.equal(sentence({ queuedMs: 49 }), 'GET /prices 200 after 500 ms')
  })

  it('says what an expired request waited for, or which wait ran out', () => {
    const expired = { outcome: 'timed-out', status: 503 } as const
    assert.equal(
      sentence({ ...expired, waits: [wait('stock', 490, 'timed-out')] }, 'waiting 490 ms for stock'),
      'GET /prices 503 expired after 500 ms; waiting 490 ms for stock',
    )
    assert.equal(
      sentence({ ...expired, waits: [wait('stock', 490, 'timed-out'), wait('user', 5, 'ok')] }),
      'GET /prices 503 expired after 500 ms; stock ran out after 490 ms',
    )
    assert.equal(
      sentence({ ...expired, waits: [wait('stock', 0, 'refused')] }),
      'GET /prices 503 expired after 500 ms; too little time was left for stock',
    )
  })

  it('says what a fallback stands for, and else the longest wait where it was a tenth of it', () => {
    assert.equal(
      sentence({ outcome: 'degraded', waits: [wait('stock', 400, 'degraded'), wait('user', 450, 'ok')] }),
      'GET /prices 200 degraded after 500 ms; a fallback in place of stock, which took 400 ms',
    )
    assert.equal(
      sentence({ waits: [wait('stock', 100, 'ok'), wait('user', 200, 'open')] }),
      'GET /prices 200 after 500 ms; 200 ms of it for user',
    )
    assert.equal(sentence({ waits: [wait('stock', 45, 'open')] }), 'GET /prices 200 after 500 ms')
  })
})
