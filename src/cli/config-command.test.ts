import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveSettings } from '../settings/resolve.ts'
import { type SettingsReport, settingsReport } from '../settings/settings-report.ts'
import { changedAtNextStart, formatDeclared, formatNextStart } from './config-command.ts'

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

test('runtime values are a table, including values that no worker has declared', () => {
  const inForce = {
    ...report({}),
    pid: 1,
    set: { 'upstream.limit': { value: '3s', at: '' }, 'cache.ttl': { value: '0ms', at: '' } },
    declared: [
      { name: 'cache.ttl', values: ['0ms'], standard: '5m', isSet: true, workers: 2 },
      { name: 'pool.size', values: ['10', '20'], standard: '10', isSet: false, workers: 2 },
    ],
  }
  const [heading, table] = formatDeclared(inForce)
  assert.equal(heading, 'Runtime values of the app')
  assert.deepEqual(
    table?.split('\n').map((line) => line.trimEnd()),
    [
      'NAME            VALUE     ORIGIN',
      'cache.ttl       0ms       set (app: 5m)',
      'pool.size       10 or 20  app',
      'upstream.limit  3s        set (not declared by any worker)',
      '',
    ],
  )
  assert.deepEqual(formatDeclared({ ...inForce, set: {}, declared: [] }), [])
})

test('what a restart would change is listed with value and source, flags excepted', () => {
  const running = report({ slowRequestThreshold: '1s' }, { keepAlive: '3s' })
  const next = report({ slowRequestThreshold: '2s', keepAlive: '9s' })
  const source = 'punctual.config.mjs'
  assert.deepEqual(changedAtNextStart(running, next), { slowRequestThreshold: { value: '2s', origin: 'file', source } })
  assert.deepEqual(formatNextStart(running, next), [
    'A restart with the same flags would change',
    '  slowRequestThreshold = 2s (punctual.config.mjs)',
    '',
  ])
  assert.deepEqual(formatNextStart(running, running), [])
})
