import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aStatus, aWorker } from '../../test/status-samples.ts'
import { formatStatus } from './status-command.ts'

test('status is a headline, the address, restarts and incidents, and a row for each worker', () => {
  const text = formatStatus(
    aStatus({
      pid: 77,
      workers: [aWorker(), aWorker({ id: 2, pid: 102, state: 'stalled', heartbeatAgeMs: 3_200, tainted: true })],
      restarts: { crash: 2 },
      incidents: { total: 1, newest: 'x' },
    }),
  )
  const [headline, place, counts, empty, heading, ...rows] = text.trimEnd().split('\n')
  assert.match(headline ?? '', /^app: running, ready; 1 of 2 workers ready, generation 1$/)
  assert.match(place ?? '', /arbiter pid 77, up 3\.2 min/)
  assert.equal(counts, 'restarts: 2 crash; incidents: 1, newest x')
  assert.equal(empty, '')
  assert.match(heading ?? '', /^WORKER +PID +STATE +GEN +AGE +REQUESTS +IN FLIGHT +LAG +RSS$/)
  assert.match(rows[1] ?? '', / 102 +stalled 3\.2 s, tainted +1 /)
  for (const line of text.split('\n')) assert.ok(line.length <= 100, line)
})
