import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { type NodeMajor, nodeBinary } from '../../../scripts/nodes.ts'
import { request } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { ENTRY_FORMS } from './entry-forms.ts'

/** Installed first, because that blocks this process, and with it the clocks of the tests. */
const OTHER_NODES = ([22, 26] satisfies NodeMajor[]).map((major) => ({ major, node: nodeBinary(major) }))

describe('a worker serves every form of entry', { concurrency: 2 }, () => {
  for (const { what, files } of ENTRY_FORMS) {
    it(what, async () => {
      // A busy machine may starve a worker for some seconds.
      await using server = await startServer({ files, settings: { workers: 1, stallReportAfter: '9s' } })
      const { status, body } = await request(server.url)
      assert.equal(`${status} ${body}`, '200 it works')
      assert.equal((await server.status()).address?.endsWith(`:${server.port}`), true)
      assert.equal((await server.stop()).code, 0)
      assert.deepEqual(
        server.lines.filter(({ level }) => level !== 'info' && level !== 'warn'),
        [],
      )
    })
  }

  for (const { major, node } of OTHER_NODES) {
    it(`on Node ${major} a handler in TypeScript and a CommonJS main module work`, async () => {
      const forms = ENTRY_FORMS.filter(
        ({ what }) => what === 'a default-exported handler' || what.includes('CommonJS that'),
      )
      for (const { files } of forms) {
        await using server = await startServer({ files, node, settings: { workers: 1 } })
        assert.equal((await request(server.url)).body, 'it works')
      }
    })
  }

  it('an entry that neither exports a handler nor listens fails to boot', async () => {
    await using server = await startServer({
      files: { 'app.js': 'export default { serve: true }\nsetInterval(() => {}, 1000)' },
      settings: { workers: 1, bootTimeout: '1s' },
      ready: false,
    })
    assert.equal((await server.exit).code, 3)
    const [boot] = await server.incidents()
    assert.partialDeepStrictEqual(boot, { kind: 'boot', outcome: 'killed' })
  })
})

describe('an app may listen on', { concurrency: 2 }, () => {
  it('two ports, both shared by all workers', async () => {
    const second = await freePort()
    await using server = await startServer({
      files: {
        'app.js': `
import http from 'node:http'
http.createServer((request, response) => response.end('metrics')).listen(${second}, '127.0.0.1')
http.createServer((request, response) => response.end('app')).listen(process.env.PORT, process.env.HOST)
`,
      },
      settings: { workers: 2 },
    })
    assert.equal((await request(server.url)).body, 'app')
    assert.equal((await request(`http://127.0.0.1:${second}`)).body, 'metrics')
    assert.equal((await server.status()).address, `127.0.0.1:${server.port}`)
  })

  it('a free port, the same for all workers and after a reload', async () => {
    await using server = await startServer({
      files: {
        'app.js': `import http from 'node:http'\nhttp.createServer((_, r) => r.end('ok')).listen(0, '127.0.0.1')`,
      },
      settings: { workers: 2, port: 0 },
    })
    const { address } = await server.status()
    assert.match(address ?? '', /^127\.0\.0\.1:[1-9]\d+$/)
    assert.equal((await request(`http://${address}`)).status, 200)
    assert.equal((await server.command('reload')).code, 0)
    assert.equal((await server.status()).address, address)
    assert.equal((await request(`http://${address}`)).status, 200)
  })

  it('a free port for an exported handler, which is logged', async () => {
    await using server = await startServer({
      files: { 'app.js': 'export default (request, response) => response.end("ok")' },
      settings: { workers: 2, port: 0 },
    })
    const { address } = await server.status()
    assert.equal((await request(`http://${address}`)).status, 200)
    await server.log((line) => line.event === 'running' && line.address === address)
  })

  it('a Unix socket, whose file is removed with the server', async () => {
    await using server = await startServer({
      files: {
        'app.js': `import http from 'node:http'\nhttp.createServer((_, r) => r.end('ok')).listen('./app.sock')`,
      },
      settings: { workers: 2 },
    })
    const socketPath = join(server.directory.path, 'app.sock')
    assert.equal(await overSocket(socketPath), 'ok')
    assert.equal((await server.command('reload')).code, 0)
    assert.equal(await overSocket(socketPath), 'ok')
    await server.stop()
    assert.equal(await overSocket(socketPath), 'ENOENT')
  })

  it('a port without HTTP, and still drains', async () => {
    await using server = await startServer({
      files: {
        'app.js': `import net from 'node:net'\nnet.createServer((socket) => socket.pipe(socket)).listen(process.env.PORT)`,
      },
      settings: {
        workers: 1,
        requestTimeout: '5s',
        stallReportAfter: '1s',
        stallInterruptAfter: '2s',
        stallKillAfter: '4s',
        frozenKillAfter: '20s',
        drainTimeout: '5s',
        upgradeGrace: '100ms',
        stopTimeout: '20s',
      },
    })
    assert.equal(await echo(server, 'hello'), 'hello')
    const socket = net.connect(server.port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await server.until('the connection to be known', ({ workers }) => workers[0]?.connections === 1)
    assert.equal((await server.stop()).code, 0)
    await closed
  })
})

function overSocket(socketPath: string): Promise<string> {
  return new Promise((resolve) => {
    const outgoing = http.get({ socketPath, agent: false }, (response) => {
      response.setEncoding('utf8').on('data', resolve)
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    outgoing.setTimeout(10_000, () => outgoing.destroy())
  })
}

async function echo(server: TestServer, text: string): Promise<string> {
  const socket = net.connect(server.port, '127.0.0.1')
  let received = ''
  socket.setEncoding('utf8').on('data', (chunk) => {
    received += chunk
  })
  socket.write(text)
  await until('the echo', () => received.length >= text.length)
  socket.destroy()
  return received
}
