import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'

const files = {
  'app.mjs': `
import http from 'node:http'
import { currentRequest } from '${import.meta.resolve('../../../src/index.ts')}'
function spin() { for (;;) ; }
http.createServer((request, response) => {
  if (request.url === '/spin') spin()
  if (request.url === '/hang') return
  if (request.url === '/stream') {
    currentRequest().allow('500ms')
    return void response.write('first')
  }
  response.end('ok')
}).listen(process.env.PORT, process.env.HOST)
`,
}

test('a request that is not answered gets a 503 at its deadline, and each is counted by its outcome', async () => {
  const settings = { workers: 1, stallAction: 'report', requestTimeout: '25s' }
  await using server = await startServer({ files, settings })
  assert.equal((await request(`${server.url}/`)).body, 'ok')
  const headers = { 'request-timeout': '500' }
  const expired = await request(`${server.url}/hang`, { headers })
  assert.equal(expired.status, 503)
  assert.equal(expired.headers['content-type'], 'application/problem+json')
  assert.equal(JSON.parse(expired.body).type, 'urn:punctual:error:request-timeout')
  assert.equal((await request(`${server.url}/stream`)).kind, 'cut-short')
  const client = net.connect(server.port, '127.0.0.1')
  client.write('GET /hang HTTP/1.1\r\nhost: x\r\n\r\n')
  // In a report after the other two have ended.
  await server.until(
    'the request to be seen',
    ({ workers: [worker] }) => worker?.inFlight === 1 && worker.outcomes['timed-out'] === 2,
  )
  client.destroy()
  const { workers } = await server.until(
    'all to be counted',
    ({ workers: [worker] }) => worker?.outcomes['client-disconnected'] === 1,
  )
  const { completed: sent, 'timed-out': late, 'client-disconnected': gone, failed } = workers[0]?.outcomes ?? {}
  assert.deepEqual({ sent, late, gone, failed }, { sent: 1, late: 2, gone: 1, failed: 0 })
})

test('timeoutStatus 504 changes the status of a timeout', async () => {
  const settings = { workers: 1, stallAction: 'report', requestTimeout: '200ms', timeoutStatus: 504 }
  await using server = await startServer({ files, settings })
  const { status, body } = await request(`${server.url}/hang`)
  assert.equal(status, 504)
  assert.equal(JSON.parse(body).status, 504)
})

test('code that spins past the deadline of its request is interrupted then, before stallInterruptAfter', async () => {
  const settings = {
    workers: 1,
    stallReportAfter: '500ms',
    stallInterruptAfter: '18s',
    stallKillAfter: '19s',
    requestTimeout: '20s',
    maxProxyQueueTime: '19s',
  }
  await using server = await startServer({ files, settings })
  // It was queued at its proxy for 18 s: 2 s are left.
  const headers = { 'x-request-start': String(Date.now() - 18_000) }
  const { status, body } = await request(`${server.url}/spin`, { headers })
  assert.equal(status, 503)
  assert.equal(JSON.parse(body).type, 'urn:punctual:error:stalled')
  const incident = await server.incident('an interrupted stall', ({ outcome }) => outcome === 'interrupted')
  assert.ok((incident.stalledForMs ?? 0) < 15_000, `${incident.stalledForMs} ms`)
})

test('a caller with a short timeout cannot get code interrupted', async () => {
  const settings = {
    workers: 1,
    stallReportAfter: '500ms',
    stallInterruptAfter: '3s',
    stallKillAfter: '8s',
    requestTimeout: '20s',
  }
  await using server = await startServer({ files, settings })
  const { status } = await request(`${server.url}/spin`, { headers: { 'request-timeout': '100' } })
  assert.equal(status, 503)
  const incident = await server.incident('an interrupted stall', ({ outcome }) => outcome === 'interrupted')
  assert.ok((incident.stalledForMs ?? 0) >= 3_000, `${incident.stalledForMs} ms`)
})
