import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { done, refused, startHotServer } from './app.ts'

test('a deadline that is set holds from the next request on, in every worker', async () => {
  await using server = await startHotServer({ settings: { stallAction: 'report' } })
  const told = await done(server, 'set', 'requestDeadline', '300ms')
  assert.equal(told, 'requestDeadline = 300ms (set), 30s before\nin force in workers 1, 2\n')
  const hung = await Promise.all(Array.from({ length: 6 }, () => request(`${server.url}/hang`)))
  for (const { status, body } of hung) {
    assert.equal(status, 503)
    assert.equal(JSON.parse(body).type, 'urn:punctual:error:request-expired')
  }
  await server.log(/^requestDeadline = 300ms \(set\), 30s before$/)
  assert.match(await done(server, 'config'), /^ {2}requestDeadline +300ms +set$/m)
  const { settings, set } = JSON.parse(await done(server, 'config', '--json'))
  assert.deepEqual(settings.requestDeadline, { value: '300ms', origin: 'set', source: 'set' })
  assert.equal(set.requestDeadline.value, '300ms')
})

test('what breaks a rule is refused with a command that does not, and that command works', async () => {
  await using server = await startHotServer({ settings: { workers: 1 } })
  const why = await refused(server, 2, 'set', 'requestDeadline', '60s')
  assert.match(why, /rule requestDeadline <= drainLimit: requestDeadline \(1m, set\) must not be more than drainLimit/)
  const fitting = /these would fit: punctual (set .*)$/m.exec(why)?.[1] ?? ''
  assert.match(await done(server, ...fitting.split(' ')), /^requestDeadline = 1m \(set\), 30s before$/m)
  // One of them alone cannot be taken back.
  assert.match(await refused(server, 2, 'unset', 'drainLimit'), /rule requestDeadline <= drainLimit/)
  await done(server, 'unset', '--all')
  assert.deepEqual((await server.status()).set, {})
})

test('what cannot be changed while running, or is no setting, is refused with what to do', async () => {
  await using server = await startHotServer({ settings: { workers: 1 } })
  assert.match(
    await refused(server, 2, 'set', 'keepAlive', '1s'),
    /keepAlive: it cannot be changed while Punctual runs/,
  )
  assert.match(await refused(server, 2, 'set', 'requestdeadline', '3s'), /did you mean requestDeadline\?/)
  assert.match(await refused(server, 2, 'set', 'requestDeadline', '3s', 'stallCut'), /stallCut has no value/)
  assert.match(await refused(server, 2, 'unset'), /write --all/)
  assert.match(await refused(server, 2, 'unset', 'nothing.like'), /no worker has declared that name/)
})

test('a stall under way is spared when stalls are no longer cut', async () => {
  await using server = await startHotServer({
    settings: { workers: 1, stallReport: '300ms', stallCut: '5s', stallKill: '6s', freezeKill: '20s' },
  })
  const spinning = request(`${server.url}/spin`, { limit: 60_000 })
  await server.until('it to stall', ({ workers }) => workers[0]?.state === 'stalled')
  // The watchdog answers, though the main thread does not turn.
  assert.match(await done(server, 'set', 'stallAction', 'report'), /^in force in worker 1$/m)
  const { workers } = await server.until('the limits to have passed', ({ workers: [worker] }) => {
    return (worker?.heartbeatAgeMs ?? 0) > 7_000
  })
  assert.equal(workers[0]?.id, 1)
  // And cut when they are again.
  await done(server, 'unset', 'stallAction')
  assert.match((await spinning).body, /stalled|worker-lost/)
})

test('limits of the arbiter hold for workers that run already', async () => {
  await using server = await startHotServer({ settings: { workers: 1, recycleJitter: '0%' } })
  for (let sent = 0; sent < 20; sent++) await request(`${server.url}/`)
  await done(server, 'set', 'maxRequests', '10')
  await server.log(/worker 1 \(pid \d+\) is replaced: it has served \d+ requests/)
  await server.until('another to serve', ({ workers }) =>
    workers.some(({ id, state }) => id === 2 && state === 'ready'),
  )
})

test('the log says more, or every request, when it is told to', async () => {
  await using server = await startHotServer({ settings: { workers: 1, accessLog: 'all' } })
  await done(server, 'set', 'logLevel', 'error')
  await request(`${server.url}/unseen`)
  await done(server, 'set', 'logLevel', 'info')
  await request(`${server.url}/seen`)
  await server.log(/\/seen/)
  // Of the arbiter, too.
  await server.log(/^logLevel = info \(set\), error before$/)
  assert.doesNotMatch(server.output, /\/unseen/)
})

test('requests wait and are shed from the moment admission is on', async () => {
  await using server = await startHotServer({
    settings: { workers: 1, maxInFlight: 1, maxWaiting: 1, queueTarget: '25s', queueInterval: '60s' },
  })
  await done(server, 'set', 'admission', 'on')
  const hanging = [request(`${server.url}/hang`), request(`${server.url}/hang`)]
  await server.until('one to wait', ({ workers: [worker] }) => worker?.inFlight === 2 && worker.waiting === 1)
  assert.equal((await request(`${server.url}/`)).status, 503)
  await done(server, 'set', 'admission', 'off')
  assert.equal((await request(`${server.url}/`)).status, 200)
  const { workers } = await server.until('nobody to wait', ({ workers: [worker] }) => worker?.waiting === 0)
  assert.equal(workers[0]?.outcomes.shed, 1)
  await done(
    server,
    'set',
    'drainLimit',
    '100ms',
    'requestDeadline',
    '100ms',
    'upgradeGrace',
    '0s',
    'stallAction',
    'report',
  )
  await server.stop()
  assert.equal((await Promise.all(hanging)).length, 2)
})

test('a start goes on without what was set and does not apply any more, and says so', async () => {
  const set = {
    requestDeadline: { value: '25s', at: '2026-11-22T00:00:00.000Z' },
    drainLimit: { value: '1s', at: '2026-11-22T00:00:01.000Z' },
    maxRequests: { value: '500', at: '2026-11-22T00:00:02.000Z' },
  }
  const files = { 'app.mjs': "export default (request, response) => response.end('ok')" }
  const withSet =
    (text: string) =>
    (directory: string): void => {
      mkdirSync(join(directory, 'state'), { mode: 0o700 })
      writeFileSync(join(directory, 'state', 'set.json'), text)
    }
  const settings = { workers: 1 }
  {
    await using server = await startServer({ files, settings, prepare: withSet(JSON.stringify({ version: 1, set })) })
    await server.log(
      /^drainLimit was set to 1s, which does not apply any more; it is left out \(rule requestDeadline <= drainLimit/,
    )
    assert.deepEqual((await server.status()).set, { requestDeadline: '25s', maxRequests: '500' })
  }
  await using server = await startServer({ files, settings, prepare: withSet('{"version":1,"set":{"requ') })
  await server.log(/set\.json cannot be read: .*; nothing that was set holds, and it is kept as .*set\.json\.damaged$/)
  assert.deepEqual((await server.status()).set, {})
  await done(server, 'set', 'requestDeadline', '25s')
})

test('config says where a start from here would differ from what runs', async () => {
  await using server = await startHotServer({ settings: { workers: 1 } })
  server.directory.write({ 'punctual.config.mjs': "export default { slowRequest: '2s' }" })
  const config = await done(server, 'config')
  assert.match(
    config,
    /^A start from here, with the same flags, would have\n {2}slowRequest = 2s \(punctual\.config\.mjs\)$/m,
  )
  assert.match(config, /^ {2}slowRequest +1s +default$/m)
  // With a flag it is a trial, and nobody is asked.
  assert.match(await done(server, 'config', '--slow-request', '3s'), /^config file: .*\n/)
})
