import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'

/** An app that uses the worker channel as the modules of the toolkit do. */
const APP = `
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'

const channel = globalThis[Symbol.for('punctual.channel')]
const received = []
channel.subscribe('test', (message) => received.push(message))
channel.report('test', () => ({ received, dir: channel.stateDir, busy: channel.load().inFlight >= 0 }))
channel.onDrain('test', async (timeout) => {
  await new Promise((done) => setTimeout(done, 50))
  writeFileSync(join(channel.stateDir, 'drained-' + channel.worker), String(timeout))
})
http.createServer((request, response) => {
  channel.broadcast('test', { from: channel.worker, path: request.url })
  response.end(String(channel.worker))
}).listen(process.env.PORT)
`

const reportOf = ({ modules }: { modules: Readonly<Record<string, unknown>> }): { received: unknown[]; dir: string } =>
  modules.test as { received: unknown[]; dir: string }

test('a broadcast reaches the other workers, reports are in /status, and a worker exits when its modules have drained', async () => {
  await using server = await startServer({
    files: { 'app.mjs': APP },
    settings: { workers: 2, requestTimeout: '20s', drainTimeout: '20s' },
  })
  const from = Number((await request(`${server.url}/sent`)).body)
  const status = await server.until('the other worker to receive it, and both to report', ({ workers }) => {
    const reported = workers.filter(({ modules }) => modules.test !== undefined)
    return (
      reported.length === workers.length &&
      reported.some((worker) => worker.id !== from && reportOf(worker).received.length > 0)
    )
  })
  for (const worker of status.workers) {
    assert.deepEqual(reportOf(worker).received, worker.id === from ? [] : [{ from, path: '/sent' }])
    assert.equal(reportOf(worker).dir, server.stateDirectory)
  }
  assert.equal((await server.stop()).code, 0)
  for (const { id } of status.workers) {
    const timeout = Number(readFileSync(join(server.stateDirectory, `drained-${id}`), 'utf8'))
    assert.ok(timeout > 1_000 && timeout <= 20_000, `${timeout} ms`)
  }
})
