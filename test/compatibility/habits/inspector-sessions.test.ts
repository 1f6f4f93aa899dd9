import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const agent = join(import.meta.dirname, 'apps/resuming-agent.mjs')
const app = `
import http from 'node:http'
function spin() {
  for (;;);
}
const deep = (depth) => (depth === 0 ? spin() : deep(depth - 1))
http.createServer((request, response) => {
  if (request.url === '/deep') deep(30)
  if (request.url === '/later') return void Promise.resolve().then(() => deep(100))
  response.end('ok')
}).listen(process.env.PORT, process.env.HOST)
`

describe('an agent whose inspector sessions resume the main thread from each pause', () => {
  let server: TestServer
  before(async () => {
    const settings = { workers: 1, stallReportAfter: '500ms', stallInterruptAfter: '1s', stallKillAfter: '10s' }
    server = await startServer({ files: { 'app.mjs': app }, settings, flags: ['--import', agent] })
  })
  after(() => server[Symbol.asyncDispose]())

  for (const path of ['/deep', '/later', '/deep']) {
    test(`does not keep code that blocks from being interrupted: ${path}`, async () => {
      const { id, pid } = await server.worker()
      const { status, body } = await request(`${server.url}${path}`)
      assert.deepEqual([status, JSON.parse(body).type], [503, 'urn:punctual:error:stalled'])
      const incident = await server.incident(
        'the stall',
        ({ worker, outcome }) => worker?.id === id && outcome === 'interrupted',
      )
      assert.equal(incident.notInterrupted, undefined)
      await server.until('the next worker alone', ({ workers }) => {
        return workers.length === 1 && workers[0]?.state === 'ready' && workers[0].pid !== pid
      })
    })
  }
})
