import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SETTING_NAMES } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { RULES } from './rules.ts'
import { chosenSettings, settingsReport, settingsTable } from './settings-table.ts'

const resolved = resolveSettings({
  flags: { stallAction: 'interrupt' },
  env: { PORT: '8080' },
  file: { name: 'punctual.config.ts', values: { maxMemory: '512MiB' } },
  cwd: '/app',
  isTerminal: false,
  parallelism: 4,
})

describe('settings table', () => {
  it('every setting and every rule is on it, once', () => {
    const lines = settingsTable(settingsReport(resolved, '/app/punctual.config.ts')).split('\n')
    for (const name of SETTING_NAMES) {
      assert.equal(lines.filter((line) => line.startsWith(`  ${name} `)).length, 1, name)
    }
    for (const { says } of RULES)
      assert.equal(lines.filter((line) => line.startsWith(`  `) && line.includes(says)).length, 1)
    assert.ok(lines.includes('config file: /app/punctual.config.ts'))
  })

  it('value and origin stand in columns', () => {
    const table = settingsTable(settingsReport(resolved, null))
    assert.match(table, /^ {2}port +8080 +environment: PORT$/m)
    assert.match(table, /^ {2}maxMemory +512MiB +file: punctual\.config\.ts$/m)
    assert.match(table, /^ {2}stallAction +cut +flag: --stall-action$/m)
    assert.match(table, /^ {2}workers +4 \(auto\) +default$/m)
    assert.match(table, /^ {2}✓ drainTimeout < stopTimeout$/m)
    assert.match(table, /^ {2}- stallKillAfter < requestTimeout {2}\(does not apply\)$/m)
    // The value of `priorityRoutes` is too long for the column and sticks out.
    const rows = table.split('\n').filter((line) => line.endsWith(' default') && !line.includes('priorityRoutes'))
    assert.equal(new Set(rows.map((line) => line.lastIndexOf('default'))).size, 1)
  })

  it('the data form survives JSON and gives values as they would be written', () => {
    const report = JSON.parse(JSON.stringify(settingsReport(resolved, null)))
    assert.equal(report.configFile, null)
    assert.deepEqual(report.settings.maxRequests, { value: 'unbounded', origin: 'default', source: 'default' })
    assert.deepEqual(report.settings.port, { value: '8080', origin: 'environment', source: 'PORT' })
    assert.equal(report.rules.length, RULES.length)
  })

  it('the log of a start names what somebody set, and nothing else', () => {
    assert.deepEqual(chosenSettings(resolved), [
      { name: 'port', value: '8080', origin: 'environment', source: 'PORT' },
      { name: 'stallAction', value: 'cut', origin: 'flag', source: '--stall-action' },
      { name: 'maxMemory', value: '512MiB', origin: 'file', source: 'punctual.config.ts' },
    ])
  })
})
