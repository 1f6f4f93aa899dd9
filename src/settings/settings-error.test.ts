import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SettingsError } from './settings-error.ts'

const unit = {
  setting: 'stallCut',
  source: '--stall-cut',
  kind: 'no-unit',
  what: '"5" has no unit',
  advice: 'write 5s or 5ms',
} as const
const rule = {
  setting: null,
  source: 'rule stallCut < stallKill',
  kind: 'rule-broken',
  rule: 'stallCut < stallKill',
  what: 'stallCut (15s, --stall-cut) must be less than stallKill (15s, default)',
  advice: 'change --stall-cut or --stall-kill',
} as const

test('one fault is one line', () => {
  const error = new SettingsError([unit])
  assert.equal(error.message, '--stall-cut: "5" has no unit; write 5s or 5ms')
  assert.deepEqual([error.code, error.exitCode], ['PUNCTUAL_SETTINGS_INVALID', 2])
  assert.deepEqual(error.details, { faults: [unit], fitting: null })
})

test('several faults are counted, a line each; values that would fit come last, as they would be given', () => {
  const values = { stallKill: '18s', requestDeadline: '22s' }
  const lines = [
    '2 faults in the settings:',
    '  --stall-cut: "5" has no unit; write 5s or 5ms',
    '  rule stallCut < stallKill: stallCut (15s, --stall-cut) must be less than stallKill (15s, default); change --stall-cut or --stall-kill',
  ]
  const asFlags = new SettingsError([unit, rule], { fitting: { as: 'flags', values } })
  assert.deepEqual(asFlags.message.split('\n'), [
    ...lines,
    '  these would fit: --stall-kill 18s --request-deadline 22s',
  ])
  assert.deepEqual(asFlags.details.fitting, values)
  const asCommand = new SettingsError([unit, rule], { fitting: { as: 'set', values } })
  assert.equal(
    asCommand.message.split('\n').at(-1),
    '  these would fit: punctual set stallKill 18s requestDeadline 22s',
  )
})
