import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const APP = {
  'app.js': `
import http from 'node:http'
http.createServer({ keepAliveTimeout: 72_000 }, (request, response) => {
  if (request.url === '/exit') {
    const end = Date.now() + 3000
    while (Date.now() < end);
    process.exit(7)
  }
  response.end('ok')
}).listen(process.env.PORT)
`,
}

describe('the output of an app under Punctual', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({ files: APP, settings: { workers: 1, stallReportAfter: '200ms' } })
  })
  after(() => server[Symbol.asyncDispose]())

  it('has no warning about a default of Punctual that the app overrides', async () => {
    assert.equal((await request(server.url)).status, 200)
    assert.deepEqual(
      server.lines.filter(({ level }) => level !== 'info'),
      [],
    )
  })

  it('has no line of Node about a debugger when a worker exits in the middle of a reported stall', async () => {
    await request(`${server.url}/exit`)
    await server.log((line) => line.event === 'worker-exited' && line.code === 7)
    assert.ok(
      server.lines.some(({ incident, kind }) => incident !== undefined && kind === 'stall'),
      server.output,
    )
    assert.doesNotMatch(server.output, /debugger/i)
  })
})
