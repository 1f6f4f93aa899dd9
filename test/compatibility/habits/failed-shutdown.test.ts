import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { printedCode } from '../../process/support/printed-error.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

const SERVER = `
import http from 'node:http'
http.createServer((request, response) => response.end('ok')).listen(process.env.PORT)
`
const SHORT = { stallAction: 'report', requestTimeout: '1s', drainTimeout: '1s', upgradeGrace: '300ms' }

/** Reloads to the next app; returns the restarts and the pid of the worker that exited. */
async function reloadTo(server: TestServer, source: string): Promise<number> {
  server.directory.write({ 'app.js': SERVER + source })
  const { pid } = await server.worker()
  assert.equal((await server.command('reload')).code, 0)
  await server.log((line) => line.event === 'worker-exited' && line.workerPid === pid)
  return pid ?? 0
}

describe('how a draining worker ended', () => {
  test('is an incident and counted if it failed: an exit code, an error, SIGKILL', async () => {
    const throws = `process.on('SIGTERM', () => { throw new Error('no clean-up') })`
    const killed = `process.on('SIGTERM', () => process.kill(process.pid, 'SIGKILL'))`
    await using server = await startServer({
      files: { 'app.js': `${SERVER} process.on('SIGTERM', () => process.exit(7))` },
      settings: { workers: 1 },
    })
    const exited = await reloadTo(server, throws)
    const threw = await reloadTo(server, killed)
    const wasKilled = await reloadTo(server, `process.on('SIGTERM', () => process.exit(1))`)
    for (const [pid, facts] of [
      [exited, { exit: { code: 7, signal: null } }],
      [threw, { exit: { code: 1, signal: null }, error: { message: 'no clean-up' } }],
      [wasKilled, { exit: { code: null, signal: 'SIGKILL' } }],
    ] as const) {
      const incident = await server.incident(`of pid ${pid}`, ({ worker }) => worker?.pid === pid)
      assert.partialDeepStrictEqual(incident, { kind: 'crash', outcome: 'exited', draining: true, ...facts })
    }
    assert.deepEqual((await server.status()).restarts, { crash: 2, 'killed-externally': 1 })
    // The last one fails during the stop.
    const { code, stderr } = await server.command('stop')
    assert.equal(code, 1)
    assert.equal(printedCode(stderr), 'PUNCTUAL_STOP_FAILED', stderr)
    assert.equal((await server.exit).code, 1)
  })

  test('is named before it is killed if its SIGTERM listener never lets it exit', async () => {
    await using server = await startServer({
      files: {
        'app.js': `${SERVER}
import net from 'node:net'
const database = net.createServer(() => {})
process.on('SIGTERM', () => {
  setInterval(() => {}, 1000)
  database.listen(0, '127.0.0.1', () => net.connect(database.address().port, '127.0.0.1'))
})`,
      },
      settings: { workers: 1, ...SHORT, stopTimeout: '4s' },
    })
    const stopping = server.command('stop')
    const line = await server.log('worker-lingering')
    const waitingFor = line.waitingFor as string[]
    assert.ok(waitingFor.includes('1 timer'), server.output)
    assert.ok(
      waitingFor.some((what) => /^1 socket to 127\.0\.0\.1:\d+$/.test(what)),
      server.output,
    )
    const { code, stderr } = await stopping
    assert.equal(code, 1)
    assert.equal(printedCode(stderr), 'PUNCTUAL_STOP_FAILED', stderr)
    const [incident] = await server.incidents()
    assert.partialDeepStrictEqual(incident, { kind: 'stop-timeout', outcome: 'killed', waitingFor })
    assert.deepEqual(await server.exit, { code: 1, signal: null })
  })
})
