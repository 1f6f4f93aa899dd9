import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SETTING_NAMES } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { RULES } from './rules.ts'
import { chosenSettings, formatSettings, settingsReport } from './settings-report.ts'

const resolved = resolveSettings({
  flags: { stallAction: 'interrupt' },
  env: { PORT: '8080' },
  file: { name: 'punctual.config.ts', values: { maxMemory: '512MiB' } },
  cwd: '/app',
  isTerminal: false,
  parallelism: 4,
})

describe('settings report', () => {
  it('lists every setting and every rule once', () => {
    const lines = formatSettings(settingsReport(resolved, '/app/punctual.config.ts')).split('\n')
    for (const name of SETTING_NAMES) {
      assert.equal(lines.filter((line) => line.startsWith(`  ${name} `)).length, 1, name)
    }
    for (const { text } of RULES)
      assert.equal(lines.filter((line) => line.startsWith(`  `) && line.includes(text)).length, 1)
    assert.ok(lines.includes('config file: /app/punctual.config.ts'))
  })

  it('aligns values and origins in columns', () => {
    const table = formatSettings(settingsReport(resolved, null))
    assert.match(table, /^ {2}port +8080 +environment: PORT$/m)
    assert.match(table, /^ {2}maxMemory +512MiB +file: punctual\.config\.ts$/m)
    assert.match(table, /^ {2}stallAction +interrupt +flag: --stall-action$/m)
    assert.match(table, /^ {2}workers +4 \(auto\) +default$/m)
    assert.match(table, /^ {2}✓ drainTimeout < stopTimeout$/m)
    assert.match(table, /^ {2}- stallKillAfter < requestTimeout {2}\(does not apply\)$/m)
    // The value of `priorityRoutes` is too long for the column and sticks out.
    const rows = table.split('\n').filter((line) => line.endsWith(' default') && !line.includes('priorityRoutes'))
    assert.equal(new Set(rows.map((line) => line.lastIndexOf('default'))).size, 1)
  })

  it('survives JSON, with values as they would be written', () => {
    const report = JSON.parse(JSON.stringify(settingsReport(resolved, null)))
    assert.equal(report.configFile, null)
    assert.deepEqual(report.settings.maxRequests, { value: 'unbounded', origin: 'default', source: 'default' })
    assert.deepEqual(report.settings.port, { value: '8080', origin: 'environment', source: 'PORT' })
    assert.equal(report.rules.length, RULES.length)
  })

  it('names only the settings that were given, for the log of a start', () => {
    assert.deepEqual(chosenSettings(resolved), [
      { name: 'port', value: '8080', origin: 'environment', source: 'PORT' },
      { name: 'stallAction', value: 'interrupt', origin: 'flag', source: '--stall-action' },
      { name: 'maxMemory', value: '512MiB', origin: 'file', source: 'punctual.config.ts' },
    ])
  })
})
