import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RestartReason } from '../../../src/arbiter/state.ts'
import type { Incident, ReportedError } from '../../../src/diagnostics/incident.ts'
import { request } from '../support/client.ts'
import { printedCode } from '../support/printed-error.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { Load } from './load.ts'

function release(version: string): Record<string, string> {
  return {
    'app.js': `
import http from 'node:http'
http.createServer((request, response) => setTimeout(() => response.end(${JSON.stringify(version)}), Math.random() * 5))
  .listen(process.env.PORT)
`,
  }
}

/** Waits until only this generation is left. */
function alone(server: TestServer, generation: number): Promise<unknown> {
  return server.until(`generation ${generation} to serve alone`, (status) => {
    return status.generation === generation && status.workers.every((worker) => worker.generation === generation)
  })
}

describe('a reload drops no request', () => {
  for (const keepAlive of [true, false]) {
    it(`every request is answered by one of the releases, in three reloads under load ${keepAlive ? 'with' : 'without'} keep-alive`, async (context) => {
      await using server = await startServer({ files: release('v1'), settings: { workers: 2 } })
      await using load = new Load(server.url, 20, keepAlive, () => 10)
      await until('the load to run', () => load.total > 200)
      for (const generation of [2, 3, 4]) {
        server.directory.write(release(`v${generation}`))
        if (generation === 3) server.signal('SIGHUP')
        else assert.equal((await server.command('reload')).code, 0)
        await alone(server, generation)
        await until(`version ${generation} to answer`, () => load.sees(`v${generation}`))
      }
      const { total } = load
      await until('some more requests', () => load.total > Math.max(2_000, total + 200))
      const result = await load.stop()
      context.diagnostic(
        `${result.total} requests, ${result.reused} on a used connection: ${JSON.stringify(result.counts)}`,
      )
      assert.deepEqual(Object.keys(result.counts), ['200'], result.faults.join('; '))
      assert.deepEqual(result.bodies, ['v1', 'v2', 'v3', 'v4'])
      assert.deepEqual((await server.status()).restarts, {})
    })
  }

  it('clients may reuse idle keep-alive connections at any moment of the drain', async (context) => {
    await using server = await startServer({ files: release('v1'), settings: { workers: 2, keepAlive: '3s' } })
    await using load = new Load(server.url, 300, true, () => 550 + Math.random() * 700)
    const perClient = (): number => load.total / 300
    await until('each client to have rested', () => perClient() > 2)
    for (const generation of [2, 3]) {
      assert.equal((await server.command('reload')).code, 0)
      await alone(server, generation)
    }
    const { counts, total, reused, faults } = await load.stop()
    context.diagnostic(`${total} requests, ${reused} on a used connection: ${JSON.stringify(counts)}`)
    assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
  })

  it('two concurrent reload commands run one after the other, and both are answered', async () => {
    await using server = await startServer({ files: release('v1'), settings: { workers: 1 } })
    const [one, other] = await Promise.all([server.command('reload'), server.command('reload')])
    assert.deepEqual([one.code, other.code], [0, 0])
    const done = server.lines.filter(({ event }) => event === 'reloaded').map(({ generation }) => generation)
    assert.deepEqual(done, [2, 3])
    assert.equal((await server.status()).generation, 3)
  })
})

describe('a broken release never replaces a working one', () => {
  interface Broken {
    readonly what: string
    readonly source: string
    readonly reason: RestartReason
    /** The incident of the worker that failed. */
    readonly incident: Partial<Incident>
  }
  const BROKEN: readonly Broken[] = [
    {
      what: 'throws',
      source: 'throw new Error("no such table")',
      reason: 'boot',
      incident: { kind: 'boot', error: { name: 'Error', message: 'no such table' } as ReportedError },
    },
    {
      what: 'has a syntax error',
      source: 'export default (',
      reason: 'boot',
      incident: { kind: 'boot', error: { name: 'SyntaxError' } as ReportedError },
    },
    {
      what: 'never listens',
      source: 'setInterval(() => {}, 1000)',
      reason: 'boot',
      incident: { kind: 'boot', outcome: 'killed' },
    },
    {
      what: 'listens and then crashes',
      source: `
import http from 'node:http'
const server = http.createServer((request, response) => response.end('broken'))
server.listen(process.env.PORT, () => setTimeout(() => { throw new Error('the queue is closed') }, 150))
`,
      reason: 'crash',
      incident: { kind: 'crash', error: { message: 'the queue is closed' } as ReportedError },
    },
    {
      what: 'listens and then exits',
      source: `
import http from 'node:http'
http.createServer((request, response) => response.end('broken')).listen(process.env.PORT, () => setTimeout(() => process.exit(3), 100))
`,
      reason: 'crash',
      incident: { kind: 'crash', exit: { code: 3, signal: null } },
    },
  ]

  it('one that cannot boot or crashes soon is dropped, the old one keeps serving, and the command fails', async () => {
    await using server = await startServer({ files: release('v1'), settings: { workers: 2, bootTimeout: '6s' } })
    const pids = async (): Promise<unknown> => (await server.status()).workers.map(({ pid }) => pid)
    const before = await pids()
    await using load = new Load(server.url, 4, true, () => 10)
    for (const [at, { what, source, reason, incident }] of BROKEN.entries()) {
      server.directory.write({ 'app.js': source })
      const { code, stdout, stderr } = await server.command('reload')
      assert.equal(code, 1, `${what}: ${stdout} ${stderr}`)
      assert.equal(stdout, '')
      assert.equal(printedCode(stderr), 'PUNCTUAL_RELOAD_FAILED', stderr)
      const failed = await server.log((line) => line.event === 'reload-failed' && line.generation === at + 2)
      assert.partialDeepStrictEqual(failed, { serving: 1, reason }, what)
      const ofGeneration = ({ worker }: Incident): boolean => worker?.generation === at + 2
      assert.partialDeepStrictEqual(await server.incident(what, ofGeneration), incident, what)
      const { generation, ready } = await server.until(
        'the broken release to be dropped',
        ({ workers }) => workers.length === 2,
      )
      assert.deepEqual({ generation, ready }, { generation: 1, ready: true }, what)
    }
    assert.deepEqual(await pids(), before)
    const { counts, bodies, faults } = await load.stop()
    assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
    assert.deepEqual(
      bodies.filter((body) => body !== 'broken'),
      ['v1'],
    )
    server.directory.write(release('v2'))
    assert.equal((await server.command('reload')).code, 0)
    assert.equal((await request(server.url)).body, 'v2')
  })

  it('an old worker that dies while a new release boots is replaced at once', async () => {
    await using server = await startServer({
      files: release('v1'),
      settings: { workers: 1, bootTimeout: '20s', restartDelayMin: '10ms' },
    })
    const { pid } = await server.worker()
    server.directory.write({ 'app.js': 'setInterval(() => {}, 1000)' })
    const reloading = server.command('reload')
    await server.until(
      'the reload to be under way',
      ({ phase, workers }) => phase === 'reloading' && workers.length === 2,
    )
    server.directory.write(release('v1'))
    process.kill(pid ?? 0, 'SIGKILL')
    const answer = await request(server.url)
    assert.equal(`${answer.status} ${answer.body}`, '200 v1')
    assert.equal((await server.status()).phase, 'reloading')
    await server.stop()
    const { code, stderr } = await reloading
    assert.equal(code, 1)
    assert.equal(printedCode(stderr), 'PUNCTUAL_RELOAD_FAILED', stderr)
  })
})
