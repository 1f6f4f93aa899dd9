import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type AccessRecord, type AccessWait, formatAccessLine } from './access-record.ts'

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
const line = (given: Partial<AccessRecord> = {}, waiting = ''): string => formatAccessLine(record(given), waiting)
const wait = (name: string, ms: number, outcome: AccessWait['outcome'], share = ms / 5): AccessWait => ({
  name,
  ms,
  share,
  outcome,
})

describe('the message of a request', () => {
  it('says what was requested, how it ended and how long it took', () => {
    assert.equal(line(), 'GET /prices 200 after 500 ms')
    assert.equal(line({ outcome: 'failed', status: 500 }), 'GET /prices 500 failed after 500 ms')
    assert.equal(line({ outcome: 'failed', status: null }), 'GET /prices failed without a response after 500 ms')
    assert.equal(line({ outcome: 'shed', status: 503 }), 'GET /prices 503 shed after 500 ms')
    assert.equal(
      line({ outcome: 'timed-out', truncated: true }),
      'GET /prices 200 timed out while streaming after 500 ms',
    )
    assert.equal(
      line({ outcome: 'client-disconnected', status: null, method: 'POST', durationMs: 12_340 }),
      'POST /prices client disconnected after 12.3 s',
    )
    assert.equal(
      line({ outcome: 'client-disconnected', truncated: true }),
      'GET /prices 200 client disconnected while streaming after 500 ms',
    )
    assert.equal(line({ outcome: 'shutdown', status: 503 }), 'GET /prices 503 aborted after 500 ms; worker shut down')
  })

  it('says how long it was queued, if that was a tenth of it', () => {
    assert.equal(line({ queuedMs: 50 }), 'GET /prices 200 after 500 ms, 50 ms of it queued')
    assert.equal(line({ queuedMs: 49 }), 'GET /prices 200 after 500 ms')
  })

  it('says what a request that timed out was waiting for, or which wait timed out', () => {
    const timedOut = { outcome: 'timed-out', status: 503 } as const
    assert.equal(
      line({ ...timedOut, waits: [wait('stock', 490, 'timed-out')] }, 'waiting 490 ms for stock'),
      'GET /prices 503 timed out after 500 ms; waiting 490 ms for stock',
    )
    assert.equal(
      line({ ...timedOut, waits: [wait('stock', 490, 'timed-out'), wait('user', 5, 'ok')] }),
      'GET /prices 503 timed out after 500 ms; stock timed out after 490 ms',
    )
    assert.equal(
      line({ ...timedOut, waits: [wait('stock', 0, 'refused')] }),
      'GET /prices 503 timed out after 500 ms; not enough time left for stock',
    )
  })

  it('says what was replaced by a fallback, and otherwise the longest wait, if that was a tenth of it', () => {
    assert.equal(
      line({ outcome: 'degraded', waits: [wait('stock', 400, 'degraded'), wait('user', 450, 'ok')] }),
      'GET /prices 200 degraded after 500 ms; fallback for stock after 400 ms',
    )
    assert.equal(
      line({ waits: [wait('stock', 100, 'ok'), wait('user', 200, 'open')] }),
      'GET /prices 200 after 500 ms; 200 ms of it waiting for user',
    )
    assert.equal(line({ waits: [wait('stock', 45, 'open')] }), 'GET /prices 200 after 500 ms')
  })
})
