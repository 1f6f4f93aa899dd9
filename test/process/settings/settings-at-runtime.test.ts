import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { SetOutcome } from '../../../src/arbiter/arbiter-control.ts'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { config, done, refused, startRuntimeServer } from './app.ts'

test('a request timeout that is set applies to the next request in every worker', async () => {
  await using server = await startRuntimeServer({ settings: { stallAction: 'report' } })
  const { message: _, ...outcome } = await done<SetOutcome>(server, 'set', 'requestTimeout', '300ms')
  const change = { name: 'requestTimeout', value: '300ms', before: '30s', after: '300ms' }
  assert.deepEqual(outcome, { changes: [change], confirmed: [1, 2], unconfirmed: [], isSaved: true })
  const hung = await Promise.all(Array.from({ length: 6 }, () => request(`${server.url}/hang`)))
  for (const { status, body } of hung) {
    assert.equal(status, 503)
    assert.equal(JSON.parse(body).type, 'urn:punctual:error:request-timeout')
  }
  const { event: __, level, name, value, before } = await server.log('setting-changed')
  assert.deepEqual([level, name, value, before], ['info', 'requestTimeout', '300ms', '30s'])
  const { settings, set } = await config(server)
  assert.deepEqual(settings.requestTimeout, { value: '300ms', origin: 'set', source: 'set' })
  assert.equal(set.requestTimeout?.value, '300ms')
})

test('a change that breaks a rule is refused with one that works', async () => {
  await using server = await startRuntimeServer({ settings: { workers: 1 } })
  const { code, details } = await refused(server, 'set', 'requestTimeout', '60s')
  assert.equal(code, 'PUNCTUAL_SETTINGS_INVALID')
  assert.deepEqual(
    details.faults?.map(({ rule }) => rule),
    ['requestTimeout <= drainTimeout'],
  )
  const { changes } = await done(server, 'set', ...Object.entries(details.fitting ?? {}).flat())
  assert.deepEqual(changes[0], { name: 'requestTimeout', value: '1m', before: '30s', after: '1m' })
  // One of them alone cannot be taken back.
  const alone = await refused(server, 'unset', 'drainTimeout')
  assert.deepEqual(
    alone.details.faults?.map(({ rule }) => rule),
    ['requestTimeout <= drainTimeout'],
  )
  await done(server, 'unset', '--all')
  assert.deepEqual((await server.status()).set, {})
})

test('a fixed setting and an unknown name are refused with advice', async () => {
  await using server = await startRuntimeServer({ settings: { workers: 1 } })
  const fixed = await refused(server, 'set', 'keepAlive', '1s')
  assert.deepEqual(
    fixed.details.faults?.map(({ setting, kind }) => [setting, kind]),
    [['keepAlive', 'not-changeable']],
  )
  const misspelled = await refused(server, 'set', 'requesttimeout', '3s')
  assert.deepEqual(misspelled.details, { name: 'requesttimeout', nearest: 'requestTimeout' })
  const odd = await refused(server, 'set', 'requestTimeout', '3s', 'stallInterruptAfter')
  assert.deepEqual([odd.code, odd.details], ['PUNCTUAL_USAGE', { name: 'stallInterruptAfter', reason: 'no-value' }])
  assert.equal((await refused(server, 'unset')).code, 'PUNCTUAL_USAGE')
  const unknown = await refused(server, 'unset', 'nothing.like')
  assert.deepEqual(unknown.details, { name: 'nothing.like', nearest: null })
})

test('a current stall is not interrupted after stallAction was set to report', async () => {
  await using server = await startRuntimeServer({
    settings: {
      workers: 1,
      stallReportAfter: '300ms',
      stallInterruptAfter: '8s',
      stallKillAfter: '9s',
      frozenKillAfter: '30s',
    },
  })
  const spinning = request(`${server.url}/spin`, { limit: 60_000 })
  await server.until('it to stall', ({ workers }) => workers[0]?.state === 'stalled')
  // The watchdog answers, though the main thread does not turn.
  assert.deepEqual((await done(server, 'set', 'stallAction', 'report')).confirmed, [1])
  const { workers } = await server.until('the limits to have passed', ({ workers: [worker] }) => {
    return (worker?.heartbeatAgeMs ?? 0) > 10_000
  })
  assert.equal(workers[0]?.id, 1)
  // And cut when they are again.
  await done(server, 'unset', 'stallAction')
  const { type } = JSON.parse((await spinning).body) as { type: string }
  assert.match(type, /^urn:punctual:error:(stalled|worker-lost)$/)
})

test('settings of the arbiter apply to running workers', async () => {
  await using server = await startRuntimeServer({ settings: { workers: 1, recycleJitter: '0%' } })
  for (let sent = 0; sent < 20; sent++) await request(`${server.url}/`)
  await done(server, 'set', 'maxRequests', '10')
  await server.log(({ event, worker, reason }) => {
    return event === 'worker-recycling' && worker === 1 && reason === 'requests'
  })
  await server.until('another to serve', ({ workers }) =>
    workers.some(({ id, state }) => id === 2 && state === 'ready'),
  )
})

test('the log level changes at runtime', async () => {
  await using server = await startRuntimeServer({ settings: { workers: 1, accessLog: 'all' } })
  await done(server, 'set', 'logLevel', 'error')
  await request(`${server.url}/unseen`)
  await done(server, 'set', 'logLevel', 'info')
  await request(`${server.url}/seen`)
  await server.log(({ event, route }) => event === 'request' && route === '/seen')
  // Of the arbiter, too.
  await server.log(({ event, name, value }) => event === 'setting-changed' && name === 'logLevel' && value === 'info')
  assert.doesNotMatch(server.output, /\/unseen/)
})

test('requests are queued and shed as soon as load shedding is on', async () => {
  await using server = await startRuntimeServer({
    settings: { workers: 1, maxConcurrentRequests: 1, maxQueuedRequests: 1, queueTarget: '25s', queueInterval: '60s' },
  })
  await done(server, 'set', 'loadShedding', 'on')
  const hanging = [request(`${server.url}/hang`), request(`${server.url}/hang`)]
  await server.until('one to wait', ({ workers: [worker] }) => worker?.inFlight === 2 && worker.waiting === 1)
  assert.equal((await request(`${server.url}/`)).status, 503)
  await done(server, 'set', 'loadShedding', 'off')
  assert.equal((await request(`${server.url}/`)).status, 200)
  const { workers } = await server.until('no request to wait', ({ workers: [worker] }) => worker?.waiting === 0)
  assert.equal(workers[0]?.outcomes.shed, 1)
  await done(
    server,
    'set',
    'drainTimeout',
    '100ms',
    'requestTimeout',
    '100ms',
    'upgradeGrace',
    '0s',
    'stallAction',
    'report',
  )
  await server.stop()
  assert.equal((await Promise.all(hanging)).length, 2)
})

test('a start ignores and logs values that are no longer valid', async () => {
  const set = {
    requestTimeout: { value: '25s', at: '2026-11-22T00:00:00.000Z' },
    drainTimeout: { value: '1s', at: '2026-11-22T00:00:01.000Z' },
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
    const { setting, value, rule } = await server.log('set-value-ignored')
    assert.deepEqual([setting, value, rule], ['drainTimeout', '1s', 'requestTimeout <= drainTimeout'])
    assert.deepEqual((await server.status()).set, { requestTimeout: '25s', maxRequests: '500' })
  }
  await using server = await startServer({ files, settings, prepare: withSet('{"version":1,"set":{"requ') })
  const { path, movedTo } = await server.log('set-file-invalid')
  assert.equal(movedTo, `${path}.damaged`)
  assert.deepEqual((await server.status()).set, {})
  await done(server, 'set', 'requestTimeout', '25s')
})

test('config lists what a restart would change', async () => {
  await using server = await startRuntimeServer({ settings: { workers: 1 } })
  server.directory.write({ 'punctual.config.mjs': "export default { slowRequestThreshold: '2s' }" })
  const { pid, settings, nextStart } = await config(server)
  assert.equal(pid, server.pid)
  assert.equal(settings.slowRequestThreshold.value, '1s')
  assert.deepEqual(nextStart, { slowRequestThreshold: { value: '2s', origin: 'file', source: 'punctual.config.mjs' } })
  // With a flag it is a trial, and the arbiter is not asked.
  const trial = await config(server, '--slow-request-threshold', '3s')
  assert.deepEqual([trial.pid, trial.settings.slowRequestThreshold.value], [undefined, '3s'])
})
