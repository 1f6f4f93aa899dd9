import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { flagOf, SETTING_NAMES, type SettingName } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { RULES } from './rules.ts'
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
  'stallReport < stallCut': { stallReport: '10s' },
  'stallCut < stallKill': { stallCut: '15s' },
  'stallCut < requestDeadline': { stallAction: 'cut', stallCut: '30s' },
  'stallKill < requestDeadline': { stallKill: '30s', freezeKill: '60s' },
  'stallKill < freezeKill': { freezeKill: '15s' },
  'requestDeadline <= drainLimit': { requestDeadline: '31s' },
  'drainLimit < stopLimit': { stopLimit: '30s' },
  'upgradeGrace <= drainLimit': { upgradeGrace: '31s' },
  'queueTarget < queueInterval': { queueTarget: '1s' },
  'releaseLimit < releaseLockLimit': { releaseLimit: '15m' },
  'restartDelayMin <= restartDelayMax': { restartDelayMin: '31s' },
  'port != adminPort': { port: '9464' },
}

describe('rules between settings', () => {
  it('every rule is named when it is broken, with both settings, values and origins', () => {
    assert.deepEqual(Object.keys(BREAKING).sort(), RULES.map(({ says }) => says).sort())
    for (const rule of RULES) {
      const [fault, ...others] = tryFlags(BREAKING[rule.says] ?? {})?.details.faults ?? []
      assert.deepEqual([fault?.kind, fault?.rule, others], ['rule-broken', rule.says, []])
      for (const name of rule.settings) {
        assert.ok(SETTING_NAMES.includes(name) && fault?.what.includes(`${name} (`), fault?.what)
      }
      assert.match(fault?.what ?? '', / \(.*, default\)/)
      assert.match(fault?.what ?? '', / \(.*, --[a-z-]+\)/)
    }
  })

  it('a limit that does not fit is refused with values of the others that do', () => {
    for (const flags of [
      { requestDeadline: '10s' },
      { requestDeadline: '1s' },
      { requestDeadline: '90s' },
      { requestDeadline: 'unbounded' },
      { drainLimit: '5s' },
      { stallKill: '60s' },
      { stallReport: '20s' },
      { stopLimit: '2s' },
    ]) {
      const { details, message } = tryFlags(flags) ?? assert.fail('accepted')
      assert.ok(details.fitting !== null, message)
      for (const name of Object.keys(details.fitting)) assert.ok(!Object.hasOwn(flags, name), name)
      assert.equal(tryFlags({ ...flags, ...details.fitting }), null)
      const asFlags = Object.entries(details.fitting).map(([name, text]) => `${flagOf(name as SettingName)} ${text}`)
      assert.ok(message.endsWith(` ${asFlags.join(' ')}`), message)
    }
  })

  it('nothing is suggested where two settings that were chosen contradict each other', () => {
    assert.equal(tryFlags({ drainLimit: '40s', stopLimit: '39s' })?.details.fitting, null)
  })

  it('without limit is above every limit, also above another one without', () => {
    assert.deepEqual(broken({ drainLimit: 'unbounded', stopLimit: 'unbounded' }), [])
    assert.deepEqual(broken({ stopLimit: 'unbounded' }), [])
    assert.deepEqual(broken({ drainLimit: 'unbounded' }), ['drainLimit < stopLimit'])
  })

  it('limits of a stall that is not taken so far break no rule', () => {
    assert.deepEqual(broken({ stallAction: 'report', stallReport: '20s' }), [])
    assert.deepEqual(broken({ stallAction: 'cut', stallKill: '5s' }), [])
  })

  it('the app and the admin server may share a port on different addresses, not on overlapping ones', () => {
    const shared = { port: '8000', adminPort: '8000' }
    assert.deepEqual(broken({ ...shared, host: '0.0.0.0', adminHost: '10.0.0.1' }), ['port != adminPort'])
    assert.deepEqual(broken({ ...shared, host: 'localhost', adminHost: '127.0.0.1' }), ['port != adminPort'])
    assert.deepEqual(broken({ ...shared, host: '10.0.0.1', adminHost: '127.0.0.1' }), [])
    assert.deepEqual(broken({ port: '0', adminPort: '0' }), [])
  })

  it('a rule about a value that was refused is not told as well', () => {
    const error = tryFlags({ requestDeadline: '0s', drainLimit: '1s', stopLimit: '2s', upgradeGrace: '1s' })
    assert.deepEqual(
      error?.details.faults.map(({ kind }) => kind),
      ['too-small'],
    )
  })
})
