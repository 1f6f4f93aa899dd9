import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SettingsError } from './settings-error.ts'

const unit = {
  setting: 'stallInterruptAfter',
  source: '--stall-interrupt-after',
  kind: 'no-unit',
  what: '"5" has no unit',
  advice: 'use 5s or 5ms',
} as const
const rule = {
  setting: 'stallInterruptAfter',
  source: '--stall-interrupt-after',
  kind: 'rule-broken',
  rule: 'stallInterruptAfter < stallKillAfter',
  what: 'stallInterruptAfter must be less than stallKillAfter (15s, default), got 15s',
  advice: 'change stallInterruptAfter or stallKillAfter',
} as const

test('one fault is one line', () => {
  const error = new SettingsError([unit])
  assert.equal(error.message, '--stall-interrupt-after: "5" has no unit; use 5s or 5ms')
  assert.deepEqual([error.code, error.exitCode], ['PUNCTUAL_SETTINGS_INVALID', 2])
  assert.deepEqual(error.details, { faults: [unit], fitting: null })
})

test('several faults are counted and listed; fitting values come last, as they would be given', () => {
  const values = { stallKillAfter: '18s', requestTimeout: '22s' }
  const lines = [
    '2 settings are invalid:',
    '  --stall-interrupt-after: "5" has no unit; use 5s or 5ms',
    '  --stall-interrupt-after: stallInterruptAfter must be less than stallKillAfter (15s, default), got 15s; change stallInterruptAfter or stallKillAfter',
  ]
  const asFlags = new SettingsError([unit, rule], { fitting: { as: 'flags', values } })
  assert.deepEqual(asFlags.message.split('\n'), [...lines, '  try: --stall-kill-after 18s --request-timeout 22s'])
  assert.deepEqual(asFlags.details.fitting, values)
  const asCommand = new SettingsError([unit, rule], { fitting: { as: 'set', values } })
  assert.equal(asCommand.message.split('\n').at(-1), '  try: punctual set stallKillAfter 18s requestTimeout 22s')
})
