import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { formatSettingChange, summarizeReplies } from './format-setting-change.ts'
import type { Reply } from './pending-requests.ts'

test('a change is shown with the value before it, if known and different', () => {
  const change = { name: 'requestTimeout', value: '20s', before: '30s', after: '20s' }
  assert.equal(formatSettingChange(change), 'requestTimeout = 20s (set), was 30s')
  assert.equal(formatSettingChange({ ...change, before: '20s' }), 'requestTimeout = 20s (set)')
  assert.equal(formatSettingChange({ ...change, before: null }), 'requestTimeout = 20s (set)')
  assert.equal(
    formatSettingChange({ ...change, value: null, before: '20s', after: '30s' }),
    'requestTimeout = 30s (no longer set), was 20s',
  )
  assert.equal(
    formatSettingChange({ ...change, value: null, before: null, after: null }),
    'requestTimeout = the default of the app (no longer set)',
  )
})

test('of each worker the worst reply counts, and exited workers are ignored', () => {
  const summary = summarizeReplies(
    [
      new Map<number, Reply>([
        [4, { ok: true, value: '7' }],
        [2, { ok: true, value: '7' }],
        [1, 'timed-out'],
        [5, 'exited'],
      ]),
      new Map<number, Reply>([
        [2, { ok: true, value: '8' }],
        [4, { ok: true, value: '8' }],
        [3, { ok: false, why: 'it threw' }],
      ]),
    ],
    ms(2_000),
  )
  assert.deepEqual(summary, {
    confirmed: [2, 4],
    lines: ['in effect in workers 2, 4'],
    problems: [
      {
        worker: 1,
        reason: 'no-answer',
        message: 'worker 1 did not confirm within 2.0 s; it applies the change as soon as it is unblocked',
      },
      { worker: 3, reason: 'refused', message: 'worker 3 refused the value: it threw' },
    ],
  })
})
