import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { overlaySettings, overlayValidSettings, RUNTIME_SETTINGS } from './overlay.ts'
import { recordOf, SETTING_NAMES } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { SettingsError } from './settings-error.ts'

const resolve = (flags: Readonly<Record<string, string>> = {}): ReturnType<typeof resolveSettings> =>
  resolveSettings({ flags, env: {}, cwd: '/app', isTerminal: false, parallelism: 2 })
const base = resolve({ keepAlive: '7s' })

const refusal = (set: Readonly<Record<string, string>>, changed?: readonly string[]): SettingsError['details'] => {
  try {
    overlaySettings(base, set, changed)
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    return error.details
  }
  return assert.fail('it was not refused')
}

describe('settings changed at runtime', () => {
  it('override all other sources and have their own origin', () => {
    const before = base.settings.requestTimeout
    const { settings, origins } = overlaySettings(base, { requestTimeout: '20s', maxRequests: '500' })
    assert.deepEqual([settings.requestTimeout, settings.maxRequests, settings.keepAlive], [20_000, 500, 7_000])
    assert.deepEqual(origins.requestTimeout, { origin: 'set', source: 'set', written: '20s' })
    assert.equal(origins.keepAlive.source, '--keep-alive')
    assert.equal(base.settings.requestTimeout, before)
  })

  it('are refused with a suggestion', () => {
    const expected: readonly (readonly [string, string, string, string | undefined])[] = [
      ['requestTimeout', '20', 'no-unit', '20s'],
      ['requestTimeot', '20s', 'unknown-name', 'requestTimeout'],
      ['port', '80', 'not-changeable', undefined],
      ['workers', '4', 'not-changeable', 'punctual scale 4'],
    ]
    for (const [name, given, kind, suggestion] of expected) {
      const { faults, fitting } = refusal({ [name]: given })
      assert.deepEqual(
        faults.map((fault) => [fault.setting, fault.given, fault.kind, fault.suggestion]),
        [[name, given, kind, suggestion]],
      )
      assert.equal(fitting, null)
    }
    assert.equal(refusal({ requestTimeout: '20', slowRequestThreshold: '0' }).faults.length, 2)
  })

  it('are all refused if a rule would not hold, with values that fit', () => {
    const { faults, fitting } = refusal({ requestTimeout: '60s' })
    assert.deepEqual(
      faults.map(({ kind, rule }) => [kind, rule]),
      [['rule-broken', 'requestTimeout <= drainTimeout']],
    )
    assert.deepEqual(fitting, { requestTimeout: '1m', drainTimeout: '1m', stopTimeout: '72s' })
    overlaySettings(base, { requestTimeout: '60s', drainTimeout: '60s', stopTimeout: '72s' })
    // A value that is part of the change is not moved.
    assert.equal(refusal({ requestTimeout: '60s', drainTimeout: '30s' }).fitting, null)
  })

  it('that are no longer valid at a start are left out with the reason, and the others apply', () => {
    const together = { requestTimeout: '60s', drainTimeout: '60s', stopTimeout: '72s' }
    const { resolved, leftOut } = overlayValidSettings(base, {
      ...together,
      stallKillAfter: '61s',
      gone: '1s',
      maxRequests: '500',
    })
    const { requestTimeout, stopTimeout, stallKillAfter, maxRequests } = resolved.settings
    assert.deepEqual([requestTimeout, stopTimeout, stallKillAfter, maxRequests], [60_000, 72_000, 15_000, 500])
    assert.deepEqual(Object.keys(leftOut).sort(), ['gone', 'stallKillAfter'])
    assert.equal(leftOut.stallKillAfter?.rule, 'stallKillAfter < requestTimeout')
    assert.equal(leftOut.gone?.kind, 'unknown-name')
    assert.deepEqual(overlayValidSettings(base, {}).resolved.settings, base.settings)
  })

  it('have defaults that parse the same everywhere: no path, no auto', () => {
    for (const name of RUNTIME_SETTINGS) {
      const { kind } = recordOf(name)
      const text = kind.format(base.settings[name])
      const parsed = kind.parse(text, { cwd: '/elsewhere', isTerminal: true, parallelism: 9 })
      assert.deepEqual(parsed, { ok: true, value: base.settings[name] }, name)
    }
    assert.ok(RUNTIME_SETTINGS.length > 20 && RUNTIME_SETTINGS.length < SETTING_NAMES.length)
  })
})
