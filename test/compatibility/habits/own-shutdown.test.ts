import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { until } from '../../process/support/until.ts'

/**
 * Each app prints `stopped` with what its shutdown has seen: the error of `close`, what the server
 * said before, and how often `close` was emitted.
 */
const PREAMBLE = `
import { promisify } from 'node:util'
let closes = 0
const seen = (server) => {
  server.on('close', () => closes++)
  return server
}
const before = (server) => [server.listening, server.address().port === Number(process.env.PORT), closes]
const stopped = (facts, error) => {
  console.log('stopped ' + JSON.stringify([...facts, error?.code ?? null]))
  setImmediate(() => { console.log('closes ' + closes); process.exit(0) })
}
`
const HTTP = `
import http from 'node:http'
const server = seen(http.createServer((request, response) => response.end('ok'))).listen(process.env.PORT)
`
const CLOSE = `
  const facts = before(server)
  server.close((error) => stopped(facts, error))
`

const APPS: Readonly<Record<string, string>> = {
  'server.close with a callback': `${HTTP} process.on('SIGTERM', () => { ${CLOSE} })`,
  'a promise of server.close': `${HTTP}
process.on('SIGTERM', async () => {
  const facts = before(server)
  const [result] = await Promise.allSettled([promisify(server.close).call(server)])
  stopped(facts, result.reason)
})`,
  'the disposal of its server': `${HTTP}
process.on('SIGTERM', async () => {
  const facts = before(server)
  await server[Symbol.asyncDispose]()
  stopped(facts)
})`,
  'a library that tracks connections and ends the process by the same signal': `${HTTP}
const sockets = new Set()
server.on('connection', (socket) => { sockets.add(socket); socket.once('close', () => sockets.delete(socket)) })
const onSignal = (signal) => {
  const facts = before(server)
  server.close((error) => {
    console.log('stopped ' + JSON.stringify([...facts, error?.code ?? null]))
    setImmediate(() => {
      console.log('closes ' + closes)
      process.removeListener(signal, onSignal)
      process.kill(process.pid, signal)
    })
  })
  for (const socket of sockets) socket.end()
}
process.on('SIGTERM', onSignal)`,
  'closeIdleConnections before server.close': `${HTTP}
process.once('SIGTERM', () => { server.closeIdleConnections(); ${CLOSE} })`,
  Express: `
import express from 'express'
const app = express()
app.get('/', (request, response) => response.send('ok'))
const server = seen(app.listen(process.env.PORT))
process.on('SIGTERM', () => { ${CLOSE} })`,
  'a plain TCP server': `
import net from 'node:net'
const server = seen(net.createServer((socket) => socket.end('hello'))).listen(process.env.PORT)
process.on('SIGTERM', () => { ${CLOSE} })`,
  'HTTP/2': `
import http2 from 'node:http2'
const server = seen(http2.createServer((request, response) => response.end('ok'))).listen(process.env.PORT)
process.on('SIGTERM', () => { ${CLOSE} })`,
  'a listener for SIGINT only': `${HTTP} process.on('SIGINT', () => { ${CLOSE} })`,
  'the message of PM2': `${HTTP} process.on('message', (text) => { if (text === 'shutdown') { ${CLOSE} } })`,
}

describe('the own shutdown of an app finds its server listening, and closes it once', () => {
  const names = Object.keys(APPS)
  let server: TestServer
  const write = (name: string | undefined): void =>
    server.directory.write({
      'app.mjs': PREAMBLE + (name === undefined ? HTTP : APPS[name]),
    })

  before(async () => {
    server = await startServer({
      files: { 'app.mjs': PREAMBLE + APPS[names[0] as string] },
      settings: { workers: 1, keepAlive: '1s' },
    })
  })
  after(() => server[Symbol.asyncDispose]())

  for (const [at, name] of names.entries()) {
    test(`with ${name}`, async () => {
      write(names[at + 1])
      const from = server.lines.length
      const { pid } = await server.worker()
      assert.equal((await server.command('reload')).code, 0)
      await server.log((line) => line.event === 'worker-exited' && line.workerPid === pid)
      const printed = server.lines.slice(from).map(({ msg }) => msg)
      assert.deepEqual(
        printed.filter((text) => /^(stopped|closes) /.test(text)),
        ['stopped [true,true,0,null]', 'closes 1'],
      )
    })
  }

  test('and none of them is counted as a failure', async () => {
    assert.deepEqual((await server.status()).restarts, {})
    // A busy machine may stall or freeze a worker.
    const ofShutdowns = (await server.incidents()).filter(({ kind }) => kind === 'crash' || kind === 'stop-timeout')
    assert.deepEqual(ofShutdowns, [])
    assert.ok(
      server.lines.every(({ event }) => event !== 'worker-lingering' && event !== 'worker-killed'),
      server.output,
    )
  })
})

test('a request in flight may use what the app closes when its server has closed', async () => {
  const { request } = await import('../../process/support/client.ts')
  await using server = await startServer({
    files: {
      'app.mjs': `
import http from 'node:http'
let database = 'open'
const server = http.createServer((request, response) => {
  if (request.url === '/') return response.end('ok')
  process.once('finish-slow', () => setTimeout(() => response.end(database), 300))
})
server.on('close', () => { database = 'closed' })
server.listen(process.env.PORT)
process.on('SIGTERM', () => server.close(() => { console.log('database ' + database); process.exit(0) }))
import { existsSync } from 'node:fs'
setInterval(() => existsSync('stopping') && process.emit('finish-slow'), 20).unref()
`,
    },
    settings: { workers: 1 },
  })
  const slow = request(`${server.url}/slow`)
  await server.until('it to be in flight', ({ workers }) => workers[0]?.inFlight === 1)
  server.signal('SIGTERM')
  await server.log('stopping')
  server.directory.write({ stopping: '' })
  assert.equal((await slow).body, 'open')
  assert.deepEqual(await server.exit, { code: 0, signal: null })
  await server.log(/^database closed$/)
})

describe('a worker that is still booting when everything stops', () => {
  test('gets its SIGTERM', async () => {
    await using server = await startServer({
      files: {
        'app.mjs': `
process.on('SIGTERM', () => setTimeout(() => { console.log('cleaned'); process.exit(0) }, 50))
console.log('booting')
setInterval(() => {}, 1000)
`,
      },
      settings: { workers: 1 },
      ready: false,
    })
    await server.log(/^booting$/)
    server.signal('SIGTERM')
    assert.deepEqual(await server.exit, { code: 0, signal: null })
    assert.ok(server.output.includes('cleaned'), server.output)
    assert.ok(!server.output.includes('debugger'), server.output)
  })

  test('is killed soon if it is blocked and has no listener', async () => {
    await using server = await startServer({
      files: { 'app.mjs': 'console.log("booting"); for (;;);' },
      settings: { workers: 1, stopTimeout: '10m' },
      ready: false,
    })
    await server.log(/^booting$/)
    server.signal('SIGTERM')
    assert.deepEqual(await server.exit, { code: 0, signal: null })
  })
})

test('a worker that cleans up after a reload exits by itself, although everything stops meanwhile', async () => {
  await using server = await startServer({
    files: {
      'app.js': `
import { existsSync } from 'node:fs'
import http from 'node:http'
const server = http.createServer((request, response) => response.end('ok')).listen(process.env.PORT)
process.on('SIGTERM', () => {
  server.close()
  console.log('cleaning up in ' + process.pid)
  const timer = setInterval(() => existsSync('cleaned-up') && clearInterval(timer), 20)
})
`,
    },
    settings: { workers: 1 },
  })
  assert.equal((await server.command('reload')).code, 0)
  await server.log(/cleaning up/)
  server.signal('SIGTERM')
  await until(
    'both workers to clean up',
    () => server.lines.filter(({ msg }) => msg.includes('cleaning up')).length === 2,
  )
  server.directory.write({ 'cleaned-up': '' })
  assert.deepEqual(await server.exit, { code: 0, signal: null })
})
