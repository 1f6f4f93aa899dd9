import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { request, requests, tally } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { within } from '../support/until.ts'
import { onEveryNode } from './every-node.ts'
import { frameIn } from './source-line.ts'
import { assertUndisturbed } from './undisturbed.ts'

const APPS = join(import.meta.dirname, 'apps')
const LIMITS = {
  workers: 1,
  stallReportAfter: '500ms',
  stallInterruptAfter: '1500ms',
  stallKillAfter: '3s',
  frozenKillAfter: '20s',
}

onEveryNode(
  'some stalls are not interrupted',
  (node) => {
    test('a worker with a debugger is not disturbed, and continues when the debugger disconnects', async () => {
      await using server = await startServer({ entry: join(APPS, 'debugged.ts'), settings: LIMITS, node: node.binary })
      const { pid } = await server.worker()
      const inspector = await request(`${server.url}/inspector`)
      const client = new WebSocket(inspector.body)
      try {
        await within('the inspector to be connected', once(client, 'open'))
        const paused = new Promise<void>((resolve) => {
          client.on('message', (data) => {
            if (JSON.parse(String(data)).method === 'Debugger.paused') resolve()
          })
        })
        client.send(JSON.stringify({ id: 1, method: 'Debugger.enable' }))
        await within('the answer to Debugger.enable', once(client, 'message'))
        const answer = request(`${server.url}/debug`)
        await within('the pause at the breakpoint', paused)
        const { workers } = await server.until('the pause to outlast every limit', (status) => {
          return (status.workers[0]?.heartbeatAgeMs ?? 0) > 5_000
        })
        assert.equal(workers[0]?.debugged, true)
        assertUndisturbed(await server.incidents(), 3_000)
        client.close()
        assert.equal((await answer).body, String(pid), 'it continues where it was stopped')
      } finally {
        client.terminate()
      }
      await server.until('it to count as not debugged', (status) => status.workers[0]?.debugged === false)
      assert.equal((await request(`${server.url}/ok`)).body, String(pid))
      assertUndisturbed(await server.incidents(), 3_000)
      node.note('paused by a debugger', 'nothing')
    })

    test('an app with an enabled async hook is killed with emergency responses, with the reason', async () => {
      await using server = await startServer({ entry: join(APPS, 'hooked.ts'), settings: LIMITS, node: node.binary })
      const slow = requests(10, `${server.url}/slow`)
      await server.until('all requests in flight', ({ workers }) => workers[0]?.inFlight === 10)
      const answers = await Promise.all([request(`${server.url}/spin`), ...slow])
      assert.deepEqual(tally(answers), { 503: 11 })
      const incident = await server.incident('over', ({ outcome, exit }) => outcome !== 'ongoing' && exit !== undefined)
      node.note('a spin under a live async_hooks hook', incident.outcome)
      assert.equal(incident.outcome, 'killed')
      assert.equal(incident.notInterrupted, 'async-hooks')
      assert.equal(frameIn(incident, join(APPS, 'hooked.ts'))?.function, 'spin')
      const { request: named, kernel } = incident.evidence.at(-1) ?? {}
      assert.deepEqual([named?.method, named?.target, kernel?.doing], ['GET', '/spin', 'spinning'])
      assert.equal(incident.exit?.signal, 'SIGKILL')
      assert.equal(incident.emergencyResponses?.inFlight, 11)
    })
  },
  2,
)
