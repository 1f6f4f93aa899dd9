import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'

/** An app that uses the line as the modules of the toolkit do. */
const APP = `
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'

const line = globalThis[Symbol.for('punctual.line')]
const heard = []
line.hear('test', (message) => heard.push(message))
line.report('test', () => ({ heard, dir: line.stateDir, busy: line.load().inFlight >= 0 }))
line.onDrain('test', async (limit) => {
  await new Promise((done) => setTimeout(done, 50))
  writeFileSync(join(line.stateDir, 'drained-' + line.worker), String(limit))
})
http.createServer((request, response) => {
  line.broadcast('test', { from: line.worker, path: request.url })
  response.end(String(line.worker))
}).listen(process.env.PORT)
`

const roomOf = ({ modules }: { modules: Readonly<Record<string, unknown>> }): { heard: unknown[]; dir: string } =>
  modules.test as { heard: unknown[]; dir: string }

test('what a room says in one worker is heard in the others, its report is in /status, and a worker leaves when it has drained', async () => {
  await using server = await startServer({
    files: { 'app.mjs': APP },
    settings: { workers: 2, requestTimeout: '20s', drainTimeout: '20s' },
  })
  const from = Number((await request(`${server.url}/said`)).body)
  const status = await server.until('the other worker to have heard it', ({ workers }) =>
    workers.some(
      (worker) => worker.id !== from && worker.modules.test !== undefined && roomOf(worker).heard.length > 0,
    ),
  )
  for (const worker of status.workers) {
    assert.deepEqual(roomOf(worker).heard, worker.id === from ? [] : [{ from, path: '/said' }])
    assert.equal(roomOf(worker).dir, server.stateDirectory)
  }
  assert.equal((await server.stop()).code, 0)
  for (const { id } of status.workers) {
    const limit = Number(readFileSync(join(server.stateDirectory, `drained-${id}`), 'utf8'))
    assert.ok(limit > 1_000 && limit <= 20_000, `the room was told a limit of ${limit} ms`)
  }
})
