import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HOT_SETTINGS, overlaySettings, overlayWhatFits } from './overlay.ts'
import { recordOf, SETTING_NAMES } from './records.ts'
import { resolveSettings } from './resolve.ts'
import { SettingsError } from './settings-error.ts'

const resolve = (flags: Readonly<Record<string, string>> = {}): ReturnType<typeof resolveSettings> =>
  resolveSettings({ flags, env: {}, cwd: '/app', isTerminal: false, parallelism: 2 })
const base = resolve({ keepAlive: '7s' })

const refusal = (set: Readonly<Record<string, string>>, changed?: readonly string[]): string => {
  try {
    overlaySettings(base, set, changed)
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    return error.message
  }
  return assert.fail('it was not refused')
}

describe('settings that are set while running', () => {
  it('lie on top of all others, with their origin', () => {
    const { settings, origins } = overlaySettings(base, { requestDeadline: '20s', maxRequests: '500' })
    assert.deepEqual([settings.requestDeadline, settings.maxRequests, settings.keepAlive], [20_000, 500, 7_000])
    assert.deepEqual(origins.requestDeadline, { origin: 'set', source: 'set', written: '20s' })
    assert.equal(origins.keepAlive.source, '--keep-alive')
    assert.equal(base.settings.requestDeadline, 30_000)
  })

  it('are refused with what is allowed', () => {
    assert.equal(refusal({ requestDeadline: '20' }), 'requestDeadline: "20" has no unit; write 20s or 20ms')
    assert.match(refusal({ requestDeadlin: '20s' }), /there is no such setting; did you mean requestDeadline\?/)
    assert.match(refusal({ port: '80' }), /^port: it cannot be changed while Punctual runs; .*start again$/)
    assert.match(refusal({ workers: '4' }), /write punctual scale 4$/)
    assert.match(refusal({ requestDeadline: '20', slowRequest: '0' }), /^2 faults in the settings:/)
  })

  it('are refused as a whole if a rule would not hold, with a command that would do', () => {
    assert.equal(
      refusal({ requestDeadline: '60s' }),
      'rule requestDeadline <= drainLimit: requestDeadline (1m, set) must not be more than drainLimit (30s, default); ' +
        'A request in flight may take its whole time while its worker leaves\n' +
        '  these would fit: punctual set requestDeadline 1m drainLimit 1m stopLimit 72s',
    )
    overlaySettings(base, { requestDeadline: '60s', drainLimit: '60s', stopLimit: '72s' })
    // Nobody is told to move what somebody has set on purpose in the same breath.
    assert.doesNotMatch(refusal({ requestDeadline: '60s', drainLimit: '30s' }), /these would fit/)
  })

  it('that no longer fit at a start are left out, each with why, and the others hold', () => {
    const together = { requestDeadline: '60s', drainLimit: '60s', stopLimit: '72s' }
    const { resolved, leftOut } = overlayWhatFits(base, {
      ...together,
      stallKill: '61s',
      gone: '1s',
      maxRequests: '500',
    })
    const { requestDeadline, stopLimit, stallKill, maxRequests } = resolved.settings
    assert.deepEqual([requestDeadline, stopLimit, stallKill, maxRequests], [60_000, 72_000, 15_000, 500])
    assert.deepEqual(Object.keys(leftOut).sort(), ['gone', 'stallKill'])
    assert.match(leftOut.stallKill ?? '', /rule stallKill < requestDeadline/)
    assert.deepEqual(overlayWhatFits(base, {}).resolved.settings, base.settings)
  })

  it('are those of which a default can be read without knowing where: no path, no auto', () => {
    for (const name of HOT_SETTINGS) {
      const { kind } = recordOf(name)
      const text = kind.format(base.settings[name])
      const parsed = kind.parse(text, { cwd: '/elsewhere', isTerminal: true, parallelism: 9 })
      assert.deepEqual(parsed, { ok: true, value: base.settings[name] }, name)
    }
    assert.ok(HOT_SETTINGS.length > 20 && HOT_SETTINGS.length < SETTING_NAMES.length)
  })
})
