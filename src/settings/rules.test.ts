import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SettingName } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { RULES } from './rules.ts'
import { flagOf } from './settings.ts'
import { SettingsError } from './settings-error.ts'

/** The rules that these flags break, and the error; null if they are accepted. */
function tryFlags(flags: Record<string, string>): SettingsError | null {
  try {
    resolveSettings({ flags, env: {}, cwd: '/app', isTerminal: false, parallelism: 1 })
    return null
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    return error
  }
}

function broken(flags: Record<string, string>): readonly (string | undefined)[] {
  return tryFlags(flags)?.details.faults.map(({ rule }) => rule) ?? []
}

/** For each rule, flags that break it and no other. */
const BREAKING: Readonly<Record<string, Record<string, string>>> = {
  'stallReportAfter < stallInterruptAfter': { stallReportAfter: '10s' },
  'stallInterruptAfter < stallKillAfter': { stallInterruptAfter: '15s' },
  'stallInterruptAfter < requestTimeout': { stallAction: 'interrupt', stallInterruptAfter: '30s' },
  'stallKillAfter < requestTimeout': { stallKillAfter: '30s', frozenKillAfter: '60s' },
  'stallKillAfter < frozenKillAfter': { frozenKillAfter: '15s' },
  'requestTimeout <= drainTimeout': { requestTimeout: '31s' },
  'drainTimeout < stopTimeout': { stopTimeout: '30s' },
  'upgradeGrace <= drainTimeout': { upgradeGrace: '31s' },
  'queueTarget < queueInterval': { queueTarget: '1s' },
  'releaseTimeout < releaseLockTimeout': { releaseTimeout: '15m' },
  'restartDelayMin <= restartDelayMax': { restartDelayMin: '31s' },
  'port != adminPort': { port: '19464' },
  'probePort != port': { probePort: '3000' },
  'probePort != adminPort': { probePort: '19464' },
}

describe('rules between settings', () => {
  it('a broken rule is reported with both settings, values and sources', () => {
    assert.deepEqual(Object.keys(BREAKING).sort(), RULES.map(({ text }) => text).sort())
    for (const rule of RULES) {
      const [fault, ...others] = tryFlags(BREAKING[rule.text] ?? {})?.details.faults ?? []
      assert.deepEqual([fault?.kind, fault?.rule, others], ['rule-broken', rule.text, []])
      assert.match(fault?.source ?? '', /^--[a-z-]+$/)
      for (const name of rule.settings) assert.ok(fault?.what.includes(name), fault?.what)
      assert.match(fault?.what ?? '', / \(.*, default\), got /)
    }
  })

  it('a value that breaks a rule is refused with fitting values of the others', () => {
    for (const flags of [
      { requestTimeout: '10s' },
      { requestTimeout: '1s' },
      { requestTimeout: '90s' },
      { requestTimeout: 'unbounded' },
      { drainTimeout: '5s' },
      { stallKillAfter: '60s' },
      { stallReportAfter: '20s' },
      { stopTimeout: '2s' },
    ]) {
      const { details, message } = tryFlags(flags) ?? assert.fail('accepted')
      assert.ok(details.fitting !== null, message)
      for (const name of Object.keys(details.fitting)) assert.ok(!Object.hasOwn(flags, name), name)
      assert.equal(tryFlags({ ...flags, ...details.fitting }), null)
      const asFlags = Object.entries(details.fitting).map(([name, text]) => `${flagOf(name as SettingName)} ${text}`)
      assert.ok(message.endsWith(` ${asFlags.join(' ')}`), message)
    }
  })

  it('nothing is suggested if two given settings contradict each other', () => {
    assert.equal(tryFlags({ drainTimeout: '40s', stopTimeout: '39s' })?.details.fitting, null)
  })

  it('unbounded is above every value, also above another unbounded one', () => {
    assert.deepEqual(broken({ drainTimeout: 'unbounded', stopTimeout: 'unbounded' }), [])
    assert.deepEqual(broken({ stopTimeout: 'unbounded' }), [])
    assert.deepEqual(broken({ drainTimeout: 'unbounded' }), ['drainTimeout < stopTimeout'])
  })

  it('stall settings without effect break no rule', () => {
    assert.deepEqual(broken({ stallAction: 'report', stallReportAfter: '20s' }), [])
    assert.deepEqual(broken({ stallAction: 'interrupt', stallKillAfter: '5s' }), [])
  })

  it('the app and the admin server may share a port on different addresses, not on overlapping ones', () => {
    const shared = { port: '8000', adminPort: '8000' }
    assert.deepEqual(broken({ ...shared, host: '0.0.0.0', adminHost: '10.0.0.1' }), ['port != adminPort'])
    assert.deepEqual(broken({ ...shared, host: 'localhost', adminHost: '127.0.0.1' }), ['port != adminPort'])
    assert.deepEqual(broken({ ...shared, host: '10.0.0.1', adminHost: '127.0.0.1' }), [])
    assert.deepEqual(broken({ port: '0', adminPort: '0' }), [])
  })

  it('a rule about a refused value is not reported in addition', () => {
    const error = tryFlags({ requestTimeout: '0s', drainTimeout: '1s', stopTimeout: '2s', upgradeGrace: '1s' })
    assert.deepEqual(
      error?.details.faults.map(({ kind }) => kind),
      ['too-small'],
    )
  })
})
