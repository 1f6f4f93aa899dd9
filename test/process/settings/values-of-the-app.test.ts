import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { done, refused, startHotServer, valuesOf } from './app.ts'

test('a value of the app is changed in every worker, seen in config and status, and restored by unset', async () => {
  await using server = await startHotServer()
  assert.deepEqual(await valuesOf(server), ['300000 none', '300000 none'])
  const told = await done(server, 'set', 'cache.auth:user.ttl', '0s')
  assert.equal(told, 'cache.auth:user.ttl = 0ms (set), 5m before\nin force in workers 1, 2\n')
  assert.deepEqual(await valuesOf(server), ['0 none', '0 none'])
  assert.deepEqual((await server.status()).set, { 'cache.auth:user.ttl': '0ms' })
  const config = await done(server, 'config')
  assert.match(config, /^in force in the arbiter with pid \d+$/m)
  assert.match(config, /^cache\.auth:user\.ttl +0ms +set, else 5m *$/m)
  const told2 = await done(server, 'unset', 'cache.auth:user.ttl')
  assert.equal(told2, 'cache.auth:user.ttl = 5m (no longer set), 0ms before\nin force in workers 1, 2\n')
  assert.deepEqual(await valuesOf(server), ['300000 none', '300000 none'])
  assert.deepEqual((await server.status()).set, {})
  assert.match(await done(server, 'config'), /^cache\.auth:user\.ttl +5m +app *$/m)
  assert.equal(await done(server, 'unset', 'cache.auth:user.ttl'), 'cache.auth:user.ttl was not set\n')
})

test('what is set holds for a worker that comes later, a reload, and a restart of the arbiter', async () => {
  await using server = await startHotServer({ settings: { workers: 1 } })
  await done(server, 'set', 'cache.auth:user.ttl', '1s', 'requestDeadline', '25s')
  await done(server, 'scale', '2')
  await server.until('the second', ({ workers }) => workers.filter(({ state }) => state === 'ready').length === 2)
  assert.deepEqual(await valuesOf(server), ['1000 none', '1000 none'])
  await done(server, 'reload')
  await server.until('the new ones', ({ workers }) => workers.length === 2 && workers.every(({ id }) => id > 2))
  assert.deepEqual(await valuesOf(server), ['1000 none', '1000 none'])
  await server.stop()

  // Another arbiter on the same state directory.
  const files = { 'app.mjs': await readFile(join(server.directory.path, 'app.mjs'), 'utf8') }
  const kept = await readFile(join(server.stateDirectory, 'set.json'), 'utf8')
  await using next = await startServer({
    files,
    settings: { workers: 1, requestDeadline: '20s' },
    prepare: (directory) => {
      mkdirSync(join(directory, 'state'), { mode: 0o700 })
      writeFileSync(join(directory, 'state', 'set.json'), kept)
    },
  })
  await next.log(/^setting requestDeadline = 25s \(set\)$/)
  await next.log(/^setting cache\.auth:user\.ttl = 1s \(set\)$/)
  assert.deepEqual(await valuesOf(next), ['1000 none'])
  assert.match(await done(next, 'config'), /^ {2}requestDeadline +25s +set$/m)
  await done(next, 'unset', '--all')
  assert.match(await done(next, 'config'), /^ {2}requestDeadline +20s +flag: --request-deadline$/m)
  assert.deepEqual(await valuesOf(next), ['300000 none'])
})

test('a value that no worker has is refused with those that there are; forced, it waits for the worker that declares it', async () => {
  await using server = await startHotServer()
  const why = await refused(server, 2, 'set', 'cache.auth:user.tl', '0s')
  assert.match(why, /no worker has declared that name; did you mean cache\.auth:user\.ttl\?/)
  assert.match(why, /the app has declared cache\.auth:user\.ttl/)
  await refused(server, 2, 'set', 'upstream.limit', '3s')
  assert.equal(await done(server, 'set', '--force', 'upstream.limit', '3s'), 'upstream.limit = 3s (set)\n')
  assert.match(await done(server, 'config'), /^upstream\.limit +3s +set, declared by no worker *$/m)
  // The workers run already: they are told when they declare it.
  const declared = await valuesOf(server, '/late')
  assert.equal(declared.length, 2)
  await until('both to have it', async () => (await valuesOf(server)).every((value) => value === '300000 3000'))
  assert.match(await done(server, 'config'), /^upstream\.limit +3s +set, else 1s *$/m)
})

test('what the app does not allow is refused in its words, and changes nothing', async () => {
  await using server = await startHotServer()
  const why = await refused(server, 2, 'set', 'cache.auth:user.ttl', '5', 'requestDeadline', '25s')
  assert.match(why, /^punctual: cache\.auth:user\.ttl: "5" has no unit; write 5s or 5ms \(says worker \d\)$/m)
  assert.deepEqual((await server.status()).set, {})
  assert.deepEqual(await valuesOf(server), ['300000 none', '300000 none'])
})

test('a worker that stalls holds up nobody: the others have the value, it is said who has not, and it follows', async () => {
  await using server = await startHotServer({ settings: { stallReport: '500ms', stallAction: 'report' } })
  const spinning = request(`${server.url}/spin-until-released`)
  const { workers } = await server.until('one to stall', (status) =>
    status.workers.some(({ state }) => state === 'stalled'),
  )
  const stalled = workers.find(({ state }) => state === 'stalled')?.id ?? 0
  const { code, stdout } = await server.command('set', 'cache.auth:user.ttl', '0s')
  assert.equal(code, 1)
  assert.match(stdout, new RegExp(`^in force in worker ${3 - stalled}$`, 'm'))
  assert.match(
    stdout,
    new RegExp(`^worker ${stalled} has not answered within 2\\.0 s; it takes it as soon as it turns again$`, 'm'),
  )
  server.directory.write({ released: '' })
  assert.equal((await spinning).status, 200)
  await server.until('it to turn again', (status) => status.workers.every(({ state }) => state === 'ready'))
  assert.deepEqual(await valuesOf(server), ['0 none', '0 none'])
})
