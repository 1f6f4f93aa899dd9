import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SETTING_NAMES } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { RULES } from './rules.ts'
import { SettingsError } from './settings-error.ts'

function tryFlags(flags: Record<string, string>): string {
  try {
    resolveSettings({ flags, env: {}, cwd: '/app', isTerminal: false, parallelism: 1 })
    return 'accepted'
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    return error.message
  }
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
  it('every rule is told with both settings, values and origins when it is broken', () => {
    assert.deepEqual(Object.keys(BREAKING).sort(), RULES.map(({ says }) => says).sort())
    for (const rule of RULES) {
      const message = tryFlags(BREAKING[rule.says] ?? {})
      assert.equal(message.split('\n')[0]?.startsWith(`rule ${rule.says}: `), true, message)
      for (const name of rule.settings)
        assert.ok(SETTING_NAMES.includes(name) && message.includes(`${name} (`), message)
      assert.match(message, / \(.*, default\)/)
      assert.match(message, / \(.*, --[a-z-]+\)/)
    }
  })

  it('whoever sets one limit is told values of the others that fit, and they do', () => {
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
      const message = tryFlags(flags)
      const hint = /these would fit: (.*)$/m.exec(message)?.[1]
      assert.ok(hint !== undefined, message)
      const fitting = Object.fromEntries(
        [...hint.matchAll(/--([a-z-]+) (\S+)/g)].map(([, flag = '', value = '']) => [
          flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
          value,
        ]),
      )
      assert.equal(tryFlags({ ...flags, ...fitting }), 'accepted', message)
    }
  })

  it('nothing is suggested where two settings that were chosen contradict each other', () => {
    assert.doesNotMatch(tryFlags({ drainLimit: '40s', stopLimit: '39s' }), /would fit/)
  })

  it('without limit is above every limit, also above another one without', () => {
    assert.equal(tryFlags({ drainLimit: 'unbounded', stopLimit: 'unbounded' }), 'accepted')
    assert.equal(tryFlags({ stopLimit: 'unbounded' }), 'accepted')
    assert.match(tryFlags({ drainLimit: 'unbounded' }), /drainLimit \(unbounded, --drain-limit\) must be less than/)
  })

  it('limits of a stall that is not taken so far break no rule', () => {
    assert.equal(tryFlags({ stallAction: 'report', stallReport: '20s' }), 'accepted')
    assert.equal(tryFlags({ stallAction: 'cut', stallKill: '5s' }), 'accepted')
  })

  it('the app and the admin server may share a port on different addresses, not on overlapping ones', () => {
    const shared = { port: '8000', adminPort: '8000' }
    assert.match(tryFlags({ ...shared, host: '0.0.0.0', adminHost: '10.0.0.1' }), /must differ/)
    assert.match(tryFlags({ ...shared, host: 'localhost', adminHost: '127.0.0.1' }), /must differ/)
    assert.equal(tryFlags({ ...shared, host: '10.0.0.1', adminHost: '127.0.0.1' }), 'accepted')
    assert.equal(tryFlags({ port: '0', adminPort: '0' }), 'accepted')
  })

  it('a rule about a value that was refused is not told as well', () => {
    const message = tryFlags({ requestDeadline: '0s', drainLimit: '1s', stopLimit: '2s', upgradeGrace: '1s' })
    assert.doesNotMatch(message, /rule/)
  })
})
