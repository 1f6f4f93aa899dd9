import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveSettings } from '../settings/resolve.ts'
import { type SettingsReport, settingsReport } from '../settings/settings-report.ts'
import { changedAtNextStart, tellDeclared, tellNextStart } from './tell-config.ts'

const report = (
  values: Readonly<Record<string, unknown>>,
  flags: Readonly<Record<string, string>> = {},
): SettingsReport =>
  settingsReport(
    resolveSettings({
      flags,
      env: {},
      file: { name: 'punctual.config.mjs', values },
      cwd: '/app',
      isTerminal: false,
      parallelism: 2,
    }),
    null,
  )

test('values of the app are a table; one that is set and that no worker has declared is among them', () => {
  const inForce = {
    ...report({}),
    pid: 1,
    set: { 'upstream.limit': { value: '3s', at: '' }, 'cache.ttl': { value: '0ms', at: '' } },
    declared: [
      { name: 'cache.ttl', values: ['0ms'], standard: '5m', isSet: true, workers: 2 },
      { name: 'pool.size', values: ['10', '20'], standard: '10', isSet: false, workers: 2 },
    ],
  }
  const [heading, table] = tellDeclared(inForce)
  assert.equal(heading, 'Values of the app')
  assert.deepEqual(
    table?.split('\n').map((line) => line.trimEnd()),
    [
      'NAME            VALUE     ORIGIN',
      'cache.ttl       0ms       set, else 5m',
      'pool.size       10 or 20  app',
      'upstream.limit  3s        set, declared by no worker',
      '',
    ],
  )
  assert.deepEqual(tellDeclared({ ...inForce, set: {}, declared: [] }), [])
})

test('what a start from here would change is named with its value and source, but what a flag says is not', () => {
  const running = report({ slowRequestThreshold: '1s' }, { keepAlive: '3s' })
  const next = report({ slowRequestThreshold: '2s', keepAlive: '9s' })
  const source = 'punctual.config.mjs'
  assert.deepEqual(changedAtNextStart(running, next), { slowRequestThreshold: { value: '2s', origin: 'file', source } })
  assert.deepEqual(tellNextStart(running, next), [
    'A start from here, with the same flags, would have',
    '  slowRequestThreshold = 2s (punctual.config.mjs)',
    '',
  ])
  assert.deepEqual(tellNextStart(running, running), [])
})
