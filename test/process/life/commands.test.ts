import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import type { Incident, IncidentSummary } from '../../../src/report/incident.ts'
import type { Status } from '../../../src/report/status.ts'
import { request } from '../support/client.ts'
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

describe('the commands against a real server', () => {
  it('status, incidents, config, reload and stop tell what they found and did', async (context) => {
    await using server = await startServer({ files: APP, settings: { workers: 2, restartDelayMin: '10ms' } })

    const quiet = await server.command('incidents')
    assert.deepEqual(quiet, { code: 0, stdout: `no incidents in ${server.stateDirectory}\n`, stderr: '' })

    await request(`${server.url}/crash`)
    await server.incident('of the crash, whole', ({ replacement }) => replacement !== undefined)
    await server.until('two workers', ({ workers }) => workers.filter(({ state }) => state === 'ready').length === 2)

    const status = await server.command('status')
    context.diagnostic(`punctual status:\n${status.stdout}`)
    assert.deepEqual([status.code, status.stderr], [0, ''])
    assert.match(status.stdout, /^app\.js: running, ready; 2 of 2 workers ready, generation 1$/m)
    assert.match(status.stdout, new RegExp(`^127\\.0\\.0\\.1:${server.port}; arbiter pid ${server.pid}, up `, 'm'))
    assert.match(status.stdout, /^restarts: 1 crash; incidents: 1, newest \S+-crash$/m)
    assert.match(status.stdout, /^WORKER +PID +STATE +GEN +AGE +REQUESTS +IN FLIGHT +LAG +RSS$/m)
    assert.equal(status.stdout.match(/^ +\d+ +\d+ +ready +1 /gm)?.length, 2)
    const data = JSON.parse((await server.command('status', '--json')).stdout) as Status
    assert.deepEqual(Object.keys(data), Object.keys(await server.status()))

    const incidents = await server.command('incidents')
    context.diagnostic(`punctual incidents:\n${incidents.stdout}`)
    const [, id] = /^(\S+-crash) {2}\S+ \S+ UTC {2}exited$/m.exec(incidents.stdout) ?? []
    assert.ok(id !== undefined, incidents.stdout)
    assert.match(incidents.stdout.replaceAll(/\s+/g, ' '), /crashed: Error: no such thing; .*took over after/)
    const list = JSON.parse((await server.command('incidents', '--json')).stdout) as IncidentSummary[]
    assert.deepEqual(
      list.map((incident) => incident.id),
      [id],
    )
    const one = await server.command('incidents', id)
    context.diagnostic(`punctual incidents ${id}:\n${one.stdout}`)
    assert.match(one.stdout, /app\.js:3:/)
    const whole = JSON.parse((await server.command('incidents', id, '--json')).stdout) as Incident
    assert.equal(whole.error?.message, 'no such thing')
    const unknown = await server.command('incidents', 'nothing')
    assert.deepEqual([unknown.code, unknown.stdout], [2, ''])
    assert.match(unknown.stderr, /^punctual: there is no incident nothing in .*; punctual incidents lists them\n$/)

    const reload = await server.command('reload')
    assert.deepEqual([reload.code, reload.stdout], [0, 'generation 2 serves, with 2 workers\n'])

    const stop = await server.command('stop')
    context.diagnostic(`punctual stop: ${stop.stderr}${stop.stdout}`)
    assert.equal(stop.code, 0)
    assert.match(stop.stdout, new RegExp(`^the arbiter with pid ${server.pid} has stopped after .*\\n$`))
    assert.deepEqual(await within('the server to stop', server.exit), { code: 0, signal: null })
    assert.deepEqual(
      ['control.sock', 'arbiter.lock'].filter((name) => existsSync(`${server.stateDirectory}/${name}`)),
      [],
    )

    for (const command of ['status', 'reload', 'stop', 'scale']) {
      const result = await server.command(command, ...(command === 'scale' ? ['2'] : []))
      assert.deepEqual([result.code, result.stdout], [1, ''], command)
      assert.match(result.stderr, /^punctual: no arbiter is running on .*; start one with punctual run, or name its /)
    }
    const after = await server.command('incidents')
    assert.equal(after.code, 0)
    assert.match(after.stdout, /no such thing/)
  })

  it('config shows the settings of a run, each with where it came from', async () => {
    await using server = await startServer({
      files: { ...APP, 'punctual.config.ts': 'export default { keepAlive: "2s" as string }' },
      settings: { workers: 1 },
    })
    await server.log(/^setting keepAlive = 2s \(punctual\.config\.ts\)$/)
    await server.log(/^setting workers = 1 \(--workers\)$/)
    const { code, stdout } = await server.command('config')
    assert.equal(code, 0)
    assert.match(stdout, /^ {2}keepAlive +2s +file: punctual\.config\.ts$/m)
    // The run's own origins, not those of the command that asks.
    assert.match(stdout, /^ {2}stateDir +\S+ +flag: --state-dir$/m)
  })
})
