import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startServer, type TestServer } from '../support/server.ts'
import { Load } from './load.ts'

const APP = { 'app.js': `export default (request, response) => response.end('ok')` }

function serving(server: TestServer, count: number): Promise<unknown> {
  return server.until(`${count} workers and no other`, ({ wanted, workers }) => {
    return wanted === count && workers.length === count && workers.every(({ state }) => state === 'ready')
  })
}

describe('scaling', () => {
  it('by command and by signal changes the number of workers, shows in the status, and drops no request', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1, keepAlive: '2s' } })
    await using load = new Load(server.url, 6, true)
    for (const [by, count, says] of [
      ['3', 3, '3 workers wanted, 1 before\n'],
      ['+1', 4, '4 workers wanted, 3 before\n'],
      ['-1', 3, '3 workers wanted, 4 before\n'],
      ['1', 1, '1 worker wanted, 3 before\n'],
    ] as const) {
      const { code, stdout, stderr } = await server.command('scale', by)
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: says, stderr: '' })
      await serving(server, count)
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

  it('refuses what is no number of workers, and changes nothing', async () => {
    await using server = await startServer({ files: APP, settings: { workers: 1 } })
    for (const [wanted, code, says] of [
      ['0', 2, /scale 0: that is no number of workers; write 3, \+1 or -1/],
      ['many', 2, /scale many: that is no number of workers/],
      ['4000', 2, /up to 1024/],
      ['1.5', 2, /scale 1\.5: that is no number of workers/],
      ['-1', 1, /0 workers cannot be had: a number from 1 to 1024 can/],
    ] as const) {
      const result = await server.command('scale', wanted)
      assert.equal(result.code, code, result.stderr)
      assert.equal(result.stdout, '')
      assert.match(result.stderr, says)
      assert.equal(result.stderr.trim().split('\n').length, 1)
    }
    const { code, stderr } = await server.command('scale')
    assert.equal(code, 2)
    assert.match(stderr, /missing required argument/)
    await serving(server, 1)
  })
})
