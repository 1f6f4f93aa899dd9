import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatIncidents } from './incidents-command.ts'

test('an incident is listed with id, time and outcome above its summary, without control characters', () => {
  const one = {
    id: '20261123T000000000-w3-crash',
    at: '2026-11-23T00:00:00.000Z',
    kind: 'crash',
    worker: { id: 3, pid: 9, generation: 1 },
    outcome: 'ended',
    summary: 'worker 3 crashed\u001b[31m in verify (src/login.ts:42)',
  } as const
  assert.equal(
    formatIncidents([one], 40),
    [
      '20261123T000000000-w3-crash  2026-11-23 00:00:00 UTC  ended',
      '  worker 3 crashed\\x1b[31m in verify',
      '  (src/login.ts:42)',
      '',
    ].join('\n'),
  )
  assert.match(formatIncidents(Array(25).fill(one), 40), /\nand 5 older; --json prints all\n$/)
})
