import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Load } from '../life/load.ts'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { pick } from './release-app.ts'

const APP = `
import http from 'node:http'
import { readFileSync } from 'node:fs'
const version = readFileSync('version', 'utf8')
http.createServer((request, response) => response.end(version)).listen(process.env.PORT)
`

function files(version: string, step: string): Record<string, string> {
  return {
    'app.js': APP,
    version,
    'punctual.config.ts': `export default { release: [${step}], releaseVersion: 'auto' }`,
  }
}

describe('a reload whose release fails', () => {
  it('keeps the old generation serving all requests, and reports step, output and rollback', async (context) => {
    await using server = await startServer({
      files: files('old', `{ name: 'first', run: 'echo first' }`),
      settings: { workers: 2 },
    })
    await using load = new Load(server.url, 10, true, () => 20)
    await until('the load to run', () => load.total > 100)
    server.directory.write(
      files(
        'new',
        `{ name: 'one', run: 'true', rollback: 'touch undone' }, { name: 'two', run: 'sleep 0.5; echo no such column; exit 3' }`,
      ),
    )
    const { code, stderr } = await server.command('reload')
    assert.equal(code, 1)
    const { release, workers, generation } = await server.status()
    assert.equal(release?.state, 'failed')
    assert.equal(release?.generation, 2)
    assert.deepEqual(release?.failure, {
      phase: 'step',
      reason: 'failed',
      step: 'two',
      exitCode: 3,
      signal: null,
      undo: { rolledBack: ['one'], kept: [], restored: false },
    })
    assert.equal(release?.record?.steps[1]?.tail, 'no such column')
    assert.ok(stderr.includes(release.message), stderr)
    assert.deepEqual([generation, workers.length], [1, 2])

    // A step that hangs fails the reload too.
    server.directory.write(files('new', `{ name: 'stuck', timeout: '1s', run: 'sleep 60' }`))
    const hung = await server.command('reload')
    assert.equal(hung.code, 1)
    assert.deepEqual(pick((await server.status()).release?.failure, 'phase', 'reason', 'step'), {
      phase: 'step',
      reason: 'timed-out',
      step: 'stuck',
    })

    // So does a config file that cannot be read.
    server.directory.write({ 'punctual.config.ts': 'export default {' })
    const broken = await server.command('reload')
    assert.equal(broken.code, 1)
    assert.deepEqual((await server.status()).release?.failure, {
      phase: 'config',
      reason: 'settings-invalid',
      sources: ['punctual.config.ts'],
    })

    const before = load.total
    await until('some more requests', () => load.total > before + 100)
    const { counts, bodies, faults, total } = await load.stop()
    context.diagnostic(`${total} requests: ${JSON.stringify(counts)}`)
    assert.deepEqual(Object.keys(counts), ['200'], faults.join('; '))
    assert.deepEqual(bodies, ['old'])

    server.directory.write(files('new', `{ name: 'good', run: 'echo good' }`))
    assert.equal((await server.command('reload')).code, 0)
    assert.equal((await request(server.url)).body, 'new')
  })
})

describe('a release before the first generation', () => {
  it('that fails exits with 4 without starting a worker', async () => {
    await using server = await startServer({
      files: files('old', `{ name: 'migrate', run: 'echo no such table; exit 1' }`),
      settings: { workers: 1 },
      ready: false,
    })
    assert.deepEqual(await server.exit, { code: 4, signal: null })
    const events = server.lines
    assert.ok(events.some(({ event, step }) => event === 'release-step-failed' && step === 'migrate'))
    assert.ok(events.every(({ event }) => event !== 'starting'))
  })

  it('logs release, steps, start and stop in order; SIGTERM ends it during a step with exit code 0', async () => {
    await using server = await startServer({
      files: files(
        'old',
        `{ name: 'quick', run: 'true' }, { name: 'slow', run: 'until [ -e go ]; do sleep 0.1; done' }`,
      ),
      settings: { workers: 1 },
      ready: false,
    })
    await server.log((line) => line.event === 'release-step-started' && line.step === 'slow')
    const { release, phase, workers } = await server.status()
    assert.deepEqual([phase, release?.state, workers], ['starting', 'running', []])
    assert.equal((await request(`${server.admin}/readyz`)).status, 503)
    assert.equal((await request(`${server.admin}/livez`)).status, 200)
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
    const events = server.lines.map(({ event, step }) => (step === undefined ? event : `${event} ${step}`))
    const expected = [
      'releasing',
      'release-step-started quick',
      'release-step-done quick',
      'release-step-started slow',
      'stopping',
    ]
    assert.deepEqual(
      events.filter((one) => expected.includes(one ?? '')),
      expected,
      server.output,
    )
  })
})
