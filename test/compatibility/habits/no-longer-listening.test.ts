import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer } from '../../process/support/server.ts'
import { until } from '../../process/support/until.ts'

describe('a worker that no longer listens', () => {
  test('is not ready, and is replaced', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import cluster from 'node:cluster'
import http from 'node:http'
const server = http.createServer((request, response) => {
  response.end(String(process.pid))
  response.on('finish', () => {
    if (request.url === '/close') server.close()
    if (request.url === '/disconnect') cluster.worker.disconnect()
  })
}).listen(process.env.PORT)
setInterval(() => {}, 1000)
`,
      },
      settings: { workers: 1, restartDelayMin: '10ms' },
    })
    for (const path of ['/close', '/disconnect']) {
      const { body: pid } = await request(`${server.url}${path}`)
      await until('readiness to be taken back', async () => (await request(`${server.admin}/readyz`)).status === 503)
      await until('a replacement to be ready', async () => (await request(`${server.admin}/readyz`)).status === 200)
      assert.notEqual((await request(server.url)).body, pid)
    }
    assert.deepEqual((await server.status()).restarts, { 'not-listening': 2 })
  })

  test('stays if it listens again', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import http from 'node:http'
const server = http.createServer((request, response) => {
  response.end(String(process.pid))
  if (request.url === '/again') response.on('finish', () => server.close(() => setTimeout(() => {
    server.listen(process.env.PORT, () => console.log('again'))
  }, 300)))
}).listen(process.env.PORT)
`,
      },
      settings: { workers: 1 },
    })
    const { body: pid } = await request(`${server.url}/again`)
    await until('readiness to be taken back', async () => (await request(`${server.admin}/readyz`)).status === 503)
    await server.log(/^again$/)
    await until('it to be ready', async () => (await request(`${server.admin}/readyz`)).status === 200)
    assert.equal((await request(server.url)).body, pid)
    assert.deepEqual((await server.status()).restarts, {})
  })

  test('is not ready because of a probe for a free port', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import { existsSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
const probe = net.createServer()
probe.listen(process.env.PORT, () => probe.close(() => {
  console.log('probed')
  const timer = setInterval(() => {
    if (!existsSync('go')) return
    clearInterval(timer)
    http.createServer((request, response) => response.end('ok')).listen(process.env.PORT)
  }, 10)
}))
`,
      },
      settings: { workers: 1 },
      ready: false,
    })
    await server.log(/^probed$/)
    assert.equal((await request(`${server.admin}/readyz`)).status, 503)
    assert.equal(
      server.lines.find(({ event }) => event === 'worker-ready'),
      undefined,
    )
    server.directory.write({ go: '' })
    await server.log('running')
    assert.equal((await request(server.url)).body, 'ok')
  })
})
