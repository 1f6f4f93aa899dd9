import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { printedCode } from '../support/printed-error.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { Load } from './load.ts'

const APP = { 'app.js': `export default (request, response) => response.end('ok')` }

function serving(server: TestServer, count: number): Promise<unknown> {
  return server.until(`${count} workers and no other`, ({ wanted, workers }) => {
    return wanted === count && workers.length === count && workers.every(({ state }) => state === 'ready')
  })
}

describe('scaling', () => {
  it('by command and by signal changes the number of workers and drops no request', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1, keepAlive: '2s' } })
    await using load = new Load(server.url, 6, true, () => 5)
    let from = 1
    for (const [by, to] of [
      ['3', 3],
      ['+1', 4],
      ['-1', 3],
      ['1', 1],
    ] as const) {
      const { code, stderr } = await server.command('scale', by)
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
      await server.log((line) => line.event === 'scaled' && line.from === from && line.to === to)
      await serving(server, to)
      from = to
    }
    server.signal('SIGTTIN')
    await serving(server, 2)
    server.signal('SIGTTOU')
    await serving(server, 1)
    server.signal('SIGTTOU')
    await serving(server, 1)
    const { counts, faults } = await load.stop()
    assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
  })

  it('refuses an invalid number of workers', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1 } })
    for (const [wanted, code, errorCode] of [
      ['0', 2, 'PUNCTUAL_USAGE'],
      ['many', 2, 'PUNCTUAL_USAGE'],
      ['4000', 2, 'PUNCTUAL_USAGE'],
      ['1.5', 2, 'PUNCTUAL_USAGE'],
      ['-1', 1, 'PUNCTUAL_COMMAND_REFUSED'],
    ] as const) {
      const result = await server.command('scale', wanted)
      assert.equal(result.code, code, result.stderr)
      assert.equal(result.stdout, '')
      assert.equal(printedCode(result.stderr), errorCode, result.stderr)
      assert.equal(result.stderr.trim().split('\n').length, 1)
    }
    const { code, stderr } = await server.command('scale')
    assert.equal(code, 2)
    assert.equal(printedCode(stderr), 'PUNCTUAL_USAGE', stderr)
    await serving(server, 1)
  })
})
