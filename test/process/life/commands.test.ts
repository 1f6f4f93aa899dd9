import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import type { Incident, IncidentSummary } from '../../../src/diagnostics/incident.ts'
import type { Status } from '../../../src/diagnostics/status.ts'
import { request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { printedCode } from '../support/printed-error.ts'
import { startServer } from '../support/server.ts'
import { within } from '../support/until.ts'

const APP = {
  'app.js': `
export default (request, response) => {
  if (request.url === '/crash') throw new Error('no such thing')
  response.end('ok')
}
`,
}

describe('commands against a running server', () => {
  it('status, incidents, reload and stop report what they found and did', async (context) => {
    await using server = await startServer({ files: APP, settings: { workers: 2, restartDelayMin: '10ms' } })

    const quiet = await server.command('incidents', '--json')
    assert.deepEqual(quiet, { code: 0, stdout: '[]\n', stderr: '' })

    await request(`${server.url}/crash`)
    await server.incident('of the crash, whole', ({ replacement }) => replacement !== undefined)
    await server.until('two workers', ({ workers }) => workers.filter(({ state }) => state === 'ready').length === 2)

    const status = await server.command('status')
    context.diagnostic(`punctual status:\n${status.stdout}`)
    assert.deepEqual([status.code, status.stderr], [0, ''])
    const data = JSON.parse((await server.command('status', '--json')).stdout) as Status
    assert.deepEqual(Object.keys(data), Object.keys(await server.status()))
    assert.partialDeepStrictEqual(data, {
      name: 'app.js',
      phase: 'running',
      ready: true,
      generation: 1,
      pid: server.pid,
      address: `127.0.0.1:${server.port}`,
      restarts: { crash: 1 },
      incidents: { total: 1 },
    })
    // A row for each worker.
    for (const { id, pid } of data.workers) assert.match(status.stdout, new RegExp(`^ +${id} +${pid} +ready +1 `, 'm'))

    const incidents = await server.command('incidents')
    context.diagnostic(`punctual incidents:\n${incidents.stdout}`)
    const list = JSON.parse((await server.command('incidents', '--json')).stdout) as IncidentSummary[]
    assert.deepEqual(
      list.map(({ kind, outcome }) => [kind, outcome]),
      [['crash', 'exited']],
    )
    const id = list[0]?.id ?? ''
    assert.ok(incidents.stdout.startsWith(`${id}  `), incidents.stdout)
    const one = await server.command('incidents', id)
    context.diagnostic(`punctual incidents ${id}:\n${one.stdout}`)
    assert.equal(one.code, 0)
    assert.ok(one.stdout.startsWith(`${id}\n`), one.stdout)
    assert.match(one.stdout, /app\.js:3:/)
    const whole = JSON.parse((await server.command('incidents', id, '--json')).stdout) as Incident
    assert.equal(whole.error?.message, 'no such thing')
    assert.notEqual(whole.replacement, undefined)
    const unknown = await server.command('incidents', 'nothing')
    assert.deepEqual([unknown.code, unknown.stdout], [2, ''])
    assert.equal(printedCode(unknown.stderr), 'PUNCTUAL_USAGE', unknown.stderr)

    const reload = await server.command('reload')
    assert.equal(reload.code, 0, reload.stderr)
    assert.equal((await server.status()).generation, 2)

    const stop = await server.command('stop')
    context.diagnostic(`punctual stop: ${stop.stderr}${stop.stdout}`)
    assert.equal(stop.code, 0)
    assert.deepEqual(await within('the server to stop', server.exit), { code: 0, signal: null })
    assert.deepEqual(
      ['control.sock', 'arbiter.lock'].filter((name) => existsSync(`${server.stateDirectory}/${name}`)),
      [],
    )

    for (const command of ['status', 'reload', 'stop', 'scale']) {
      const result = await server.command(command, ...(command === 'scale' ? ['2'] : []))
      assert.deepEqual([result.code, result.stdout], [1, ''], command)
      assert.equal(printedCode(result.stderr), 'PUNCTUAL_ARBITER_NOT_RUNNING', result.stderr)
    }
    const after = await server.command('incidents', id, '--json')
    assert.deepEqual([after.code, JSON.parse(after.stdout)], [0, whole])
  })

  it('config shows the settings of a run with their origins', async () => {
    await using server = await startServer({
      files: { ...APP, 'punctual.config.ts': 'export default { keepAlive: "2s" as string }' },
      settings: { workers: 1 },
    })
    const isLogged = (setting: string, value: string, source: string) => (line: LogLine) =>
      line.event === 'setting' && line.setting === setting && line.value === value && line.source === source
    await server.log(isLogged('keepAlive', '2s', 'punctual.config.ts'))
    await server.log(isLogged('workers', '1', '--workers'))
    const { code, stdout } = await server.command('config')
    assert.equal(code, 0)
    assert.match(stdout, /^ {2}keepAlive +2s +file: punctual\.config\.ts$/m)
    // The run's own origins, not those of the command that asks.
    assert.match(stdout, /^ {2}stateDir +\S+ +flag: --state-dir$/m)
  })
})
