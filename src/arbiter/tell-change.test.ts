import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import type { Reply } from './asks.ts'
import { tellChange, tellReplies } from './tell-change.ts'

test('a change is told with what held before, where that is known and was something else', () => {
  const change = { name: 'requestTimeout', value: '20s', before: '30s', after: '20s' }
  assert.equal(tellChange(change), 'requestTimeout = 20s (set), 30s before')
  assert.equal(tellChange({ ...change, before: '20s' }), 'requestTimeout = 20s (set)')
  assert.equal(tellChange({ ...change, before: null }), 'requestTimeout = 20s (set)')
  assert.equal(
    tellChange({ ...change, value: null, before: '20s', after: '30s' }),
    'requestTimeout = 30s (no longer set), 20s before',
  )
  assert.equal(
    tellChange({ ...change, value: null, before: null, after: null }),
    'requestTimeout = as the app has it (no longer set)',
  )
})

test('of each worker the worst of its answers counts, and one that left counts for nothing', () => {
  const told = tellReplies(
    [
      new Map<number, Reply>([
        [4, { ok: true, value: '7' }],
        [2, { ok: true, value: '7' }],
        [1, 'silent'],
        [5, 'left'],
      ]),
      new Map<number, Reply>([
        [2, { ok: true, value: '8' }],
        [4, { ok: true, value: '8' }],
        [3, { ok: false, why: 'it threw' }],
      ]),
    ],
    ms(2_000),
  )
  assert.deepEqual(told, {
    confirmed: [2, 4],
    lines: ['in force in workers 2, 4'],
    problems: [
      {
        worker: 1,
        reason: 'no-answer',
        message: 'worker 1 has not answered within 2.0 s; it takes it as soon as it turns again',
      },
      { worker: 3, reason: 'refused', message: 'worker 3 has a problem with it: it threw' },
    ],
  })
})
