import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import type { LogLine } from '../support/log-lines.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { config, done, type Outcome, refused, startRuntimeServer, valuesOf } from './app.ts'

const TTL = 'cache.auth:user.ttl'

test('a value of the app changes in every worker, is in config and status, and is reverted by unset', async () => {
  await using server = await startRuntimeServer()
  assert.deepEqual(await valuesOf(server), ['300000 none', '300000 none'])
  const { changes, confirmed } = await done(server, 'set', TTL, '0s')
  assert.deepEqual(changes, [{ name: TTL, value: '0ms', before: '5m', after: '0ms' }])
  assert.deepEqual(confirmed, [1, 2])
  assert.deepEqual(await valuesOf(server), ['0 none', '0 none'])
  assert.deepEqual((await server.status()).set, { [TTL]: '0ms' })
  const { pid, declared } = await config(server)
  assert.equal(pid, server.pid)
  assert.deepEqual(declared, [{ name: TTL, values: ['0ms'], standard: '5m', isSet: true, workers: 2 }])
  const unset = await done(server, 'unset', TTL)
  assert.deepEqual(unset.changes, [{ name: TTL, value: null, before: '0ms', after: '5m' }])
  assert.deepEqual(unset.confirmed, [1, 2])
  assert.deepEqual(await valuesOf(server), ['300000 none', '300000 none'])
  assert.deepEqual((await server.status()).set, {})
  const restored = (await config(server)).declared
  assert.deepEqual(restored, [{ name: TTL, values: ['5m'], standard: '5m', isSet: false, workers: 2 }])
  assert.deepEqual((await done(server, 'unset', TTL)).changes, [])
})

test('a value that is set applies to later workers, after a reload and after a restart of the arbiter', async () => {
  await using server = await startRuntimeServer({ settings: { workers: 1 } })
  await done(server, 'set', TTL, '1s', 'requestTimeout', '25s')
  assert.equal((await server.command('scale', '2')).code, 0)
  await server.until('the second', ({ workers }) => workers.filter(({ state }) => state === 'ready').length === 2)
  assert.deepEqual(await valuesOf(server), ['1000 none', '1000 none'])
  assert.equal((await server.command('reload')).code, 0)
  await server.until('the new ones', ({ workers }) => workers.length === 2 && workers.every(({ id }) => id > 2))
  assert.deepEqual(await valuesOf(server), ['1000 none', '1000 none'])
  await server.stop()

  // Another arbiter on the same state directory.
  const files = { 'app.mjs': await readFile(join(server.directory.path, 'app.mjs'), 'utf8') }
  const kept = await readFile(join(server.stateDirectory, 'set.json'), 'utf8')
  await using next = await startServer({
    files,
    settings: { workers: 1, requestTimeout: '20s' },
    prepare: (directory) => {
      mkdirSync(join(directory, 'state'), { mode: 0o700 })
      writeFileSync(join(directory, 'state', 'set.json'), kept)
    },
  })
  const isLogged = (name: string, value: string) => (line: LogLine) =>
    line.event === 'setting' && line.setting === name && line.value === value && line.origin === 'set'
  await next.log(isLogged('requestTimeout', '25s'))
  await next.log(isLogged(TTL, '1s'))
  assert.deepEqual(await valuesOf(next), ['1000 none'])
  const kept25 = { value: '25s', origin: 'set', source: 'set' }
  assert.deepEqual((await config(next)).settings.requestTimeout, kept25)
  await done(next, 'unset', '--all')
  const given = { value: '20s', origin: 'flag', source: '--request-timeout' }
  assert.deepEqual((await config(next)).settings.requestTimeout, given)
  assert.deepEqual(await valuesOf(next), ['300000 none'])
})

test('an unknown value is refused with the nearest name; forced, it applies once a worker declares it', async () => {
  await using server = await startRuntimeServer()
  const { code, details } = await refused(server, 'set', 'cache.auth:user.tl', '0s')
  assert.equal(code, 'PUNCTUAL_SETTINGS_INVALID')
  assert.deepEqual(details, { name: 'cache.auth:user.tl', nearest: TTL })
  await refused(server, 'set', 'upstream.limit', '3s')
  const forced = await done(server, 'set', '--force', 'upstream.limit', '3s')
  assert.deepEqual(forced.changes, [{ name: 'upstream.limit', value: '3s', before: null, after: '3s' }])
  const waiting = await config(server)
  assert.equal(waiting.set['upstream.limit']?.value, '3s')
  assert.deepEqual(
    waiting.declared.map(({ name }) => name),
    [TTL],
  )
  // The workers already run: they get the value when they declare it.
  const declared = await valuesOf(server, '/late')
  assert.equal(declared.length, 2)
  await until('both to have it', async () => (await valuesOf(server)).every((value) => value === '300000 3000'))
  const late = (await config(server)).declared.find(({ name }) => name === 'upstream.limit')
  assert.deepEqual(late, { name: 'upstream.limit', values: ['3s'], standard: '1s', isSet: true, workers: 2 })
})

test('a value that the app refuses changes nothing', async () => {
  await using server = await startRuntimeServer()
  const { code, details } = await refused(server, 'set', TTL, '5', 'requestTimeout', '25s')
  assert.equal(code, 'PUNCTUAL_SETTINGS_INVALID')
  assert.deepEqual([details.name, details.value], [TTL, '5'])
  assert.match(String(details.worker), /^[12]$/)
  assert.deepEqual((await server.status()).set, {})
  assert.deepEqual(await valuesOf(server), ['300000 none', '300000 none'])
})

test('a stalled worker delays no other: the outcome names it, and it applies the value later', async () => {
  await using server = await startRuntimeServer({ settings: { stallReportAfter: '500ms', stallAction: 'report' } })
  const spinning = request(`${server.url}/spin-until-released`)
  const { workers } = await server.until('one to stall', (status) =>
    status.workers.some(({ state }) => state === 'stalled'),
  )
  const stalled = workers.find(({ state }) => state === 'stalled')?.id ?? 0
  const { code, stdout } = await server.command('set', TTL, '0s', '--json')
  assert.equal(code, 1)
  const { confirmed, unconfirmed } = JSON.parse(stdout) as Outcome
  assert.deepEqual([confirmed, unconfirmed], [[3 - stalled], [stalled]])
  server.directory.write({ released: '' })
  assert.equal((await spinning).status, 200)
  await server.until('it to turn again', (status) => status.workers.every(({ state }) => state === 'ready'))
  assert.deepEqual(await valuesOf(server), ['0 none', '0 none'])
})
