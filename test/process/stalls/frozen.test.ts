import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { keepAliveClients, request, requests, tally } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { onEveryNode } from './every-node.ts'
import { assertUndisturbed } from './undisturbed.ts'

const entry = join(import.meta.dirname, 'apps/controlled.ts')
const LIMITS = {
  workers: 1,
  stallReportAfter: '1s',
  stallInterruptAfter: '2s',
  stallKillAfter: '3s',
  frozenKillAfter: '5s',
}
const FROZEN_KILL_AFTER = 5_000

onEveryNode(
  'a stopped process',
  (node) => {
    test('is detected by the arbiter, killed and replaced, and its clients are counted', async () => {
      await using server = await startServer({ entry, settings: LIMITS, node: node.binary })
      const old = await server.worker()
      using _idle = await keepAliveClients(5, `${server.url}/ok`)
      const slow = requests(10, `${server.url}/slow`)
      await server.until('all clients to be known', ({ workers }) => {
        return workers[0]?.connections === 15 && workers[0].inFlight === 10
      })
      process.kill(old.pid ?? 0, 'SIGSTOP')
      await server.until(
        'the worker to count as stalled',
        ({ workers, ready }) => workers[0]?.state === 'stalled' && !ready,
      )

      const incident = await server.incident('the replacement serves', ({ kind, replacement }) => {
        return kind === 'frozen' && replacement !== undefined
      })
      node.note('SIGSTOP beyond frozenKillAfter', incident.outcome)
      assert.equal(incident.outcome, 'killed')
      assert.equal(incident.evidence[0]?.kernel?.doing, 'stopped')
      assert.equal(incident.evidence[0]?.inFlightCount, 10)
      assert.equal(incident.emergencyResponses?.closed, 15)
      assert.equal(incident.replacement?.worker, 2)
      assert.deepEqual((await server.status()).restarts, { frozen: 1 })
      assert.equal((await request(`${server.url}/ok`)).status, 200)
      const outcomes = tally(await Promise.all(slow))
      assert.equal(
        (outcomes.reset ?? 0) + (outcomes.closed ?? 0),
        10,
        `no client is left hanging: ${JSON.stringify(outcomes)}`,
      )
    })

    test('and that continues within the timeout is reported as ended, and serves again', async () => {
      const settings = { ...LIMITS, frozenKillAfter: '60s' }
      await using server = await startServer({ entry, settings, node: node.binary })
      const old = await server.worker()
      const slow = requests(10, `${server.url}/slow`)
      await server.until('all requests in flight', ({ workers }) => workers[0]?.inFlight === 10)
      process.kill(old.pid ?? 0, 'SIGSTOP')
      // Longer than every threshold, so that the test fails if the stop counts as a stall.
      await server.until('the silence to last', ({ workers }) => (workers[0]?.heartbeatAgeMs ?? 0) > 4_000)
      process.kill(old.pid ?? 0, 'SIGCONT')

      const incident = await server.incident('it is over', ({ kind, outcome }) => {
        return kind === 'frozen' && outcome !== 'ongoing'
      })
      node.note('SIGSTOP, then SIGCONT', incident.outcome)
      assert.equal(incident.outcome, 'ended')
      assert.deepEqual(tally(await Promise.all(slow)), { 200: 10 })
      assert.equal((await request(`${server.url}/ok`)).body, String(old.pid))
      assertUndisturbed(await server.incidents(), 4_000)
      await server.until('the worker to be ready again', ({ ready }) => ready)
    })

    test('kills no worker if the arbiter itself was stopped for longer than the timeout', async () => {
      await using server = await startServer({ entry, settings: LIMITS, node: node.binary })
      const old = await server.worker()
      const before = await server.status()
      server.signal('SIGSTOP')
      const stoppedAt = performance.now()
      await until('the arbiter to have been away for long enough, while the app is served', async () => {
        assert.equal((await request(`${server.url}/ok`)).status, 200)
        return performance.now() - stoppedAt > FROZEN_KILL_AFTER * 1.5
      })
      server.signal('SIGCONT')
      const away = before.uptimeMs + FROZEN_KILL_AFTER * 1.5
      await server.until('the arbiter to have looked a few times', ({ uptimeMs }) => uptimeMs > away + 2_000)
      assertUndisturbed(await server.incidents(), FROZEN_KILL_AFTER)
      assert.equal((await server.worker()).pid, old.pid)
      node.note('SIGSTOP of the arbiter', 'nothing')
    })
  },
  2,
)
