import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SettingsError } from './settings-error.ts'

const unit = {
  setting: 'stallInterruptAfter',
  source: '--stall-interrupt-after',
  kind: 'no-unit',
  what: '"5" has no unit',
  advice: 'write 5s or 5ms',
} as const
const rule = {
  setting: null,
  source: 'rule stallInterruptAfter < stallKillAfter',
  kind: 'rule-broken',
  rule: 'stallInterruptAfter < stallKillAfter',
  what: 'stallInterruptAfter (15s, --stall-interrupt-after) must be less than stallKillAfter (15s, default)',
  advice: 'change --stall-interrupt-after or --stall-kill-after',
} as const

test('one fault is one line', () => {
  const error = new SettingsError([unit])
  assert.equal(error.message, '--stall-interrupt-after: "5" has no unit; write 5s or 5ms')
  assert.deepEqual([error.code, error.exitCode], ['PUNCTUAL_SETTINGS_INVALID', 2])
  assert.deepEqual(error.details, { faults: [unit], fitting: null })
})

test('several faults are counted, a line each; values that would fit come last, as they would be given', () => {
  const values = { stallKillAfter: '18s', requestTimeout: '22s' }
  const lines = [
    '2 faults in the settings:',
    '  --stall-interrupt-after: "5" has no unit; write 5s or 5ms',
    '  rule stallInterruptAfter < stallKillAfter: stallInterruptAfter (15s, --stall-interrupt-after) must be less than stallKillAfter (15s, default); change --stall-interrupt-after or --stall-kill-after',
  ]
  const asFlags = new SettingsError([unit, rule], { fitting: { as: 'flags', values } })
  assert.deepEqual(asFlags.message.split('\n'), [
    ...lines,
    '  these would fit: --stall-kill-after 18s --request-timeout 22s',
  ])
  assert.deepEqual(asFlags.details.fitting, values)
  const asCommand = new SettingsError([unit, rule], { fitting: { as: 'set', values } })
  assert.equal(
    asCommand.message.split('\n').at(-1),
    '  these would fit: punctual set stallKillAfter 18s requestTimeout 22s',
  )
})
