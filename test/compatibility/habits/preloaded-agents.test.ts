import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer } from '../../process/support/server.ts'

const agent = join(import.meta.dirname, 'apps/wrapping-agent.cjs')
const app = `
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
class OwnEmit extends http.Server {
  emit(...args) {
    return net.Server.prototype.emit.apply(this, args)
  }
}
const handle = (request, response) => {
  if (request.url === '/hang') return
  response.end(String(globalThis.agentEvents))
}
const web = http.createServer(handle).listen(process.env.PORT, process.env.HOST, () => new OwnEmit(handle).listen(0))
`
const settings = { workers: 1, requestTimeout: '1s', stallAction: 'report' }

for (const [how, options] of [
  ['-r', { nodeFlags: ['-r', agent] }],
  ['NODE_OPTIONS=-r', { env: { NODE_OPTIONS: `-r ${agent}` } }],
  ['NODE_OPTIONS=--import', { env: { NODE_OPTIONS: `--import ${agent}` } }],
] as const) {
  test(`an agent preloaded with ${how} that wraps emit of http.Server sees all events, and so does Punctual`, async () => {
    await using server = await startServer({ files: { 'app.mjs': app }, settings, ...options })
    const { body, status } = await request(server.url)
    assert.equal(status, 200)
    assert.ok(Number(body) > 0, 'the agent sees events')
    assert.equal((await request(`${server.url}/hang`)).status, 503)
    await server.until('both requests to be counted once', ({ workers: [worker] }) => {
      const { requests, connections, outcomes } = worker ?? {}
      return requests === 2 && connections === 0 && outcomes?.completed === 1 && outcomes['timed-out'] === 1
    })
    assert.equal(server.lines.filter(({ msg }) => msg.startsWith('agent in boot')).length, 1, server.output)
    assert.ok(!server.lines.some(({ msg }) => msg.includes('another thread')), server.output)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    const ended = server.lines.filter(({ msg }) => msg.startsWith('agent ends in '))
    assert.equal(ended.length, 1, 'it runs in the worker, not in the arbiter')
  })
}
