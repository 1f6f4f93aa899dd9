import assert from 'node:assert/strict'
import { test } from 'node:test'
import { printable, printableJson, printableLines } from './printable.ts'

const HOSTILE = 'a\u001b[2J\u0007\r\n\u009b31m\u202eb\u2066\u200f\ufeff\u2028é😀'

test('control characters and bidi controls are escaped, other characters stay', () => {
  const text = printable(HOSTILE)
  assert.equal(text, 'a\\x1b[2J\\x07\\x0d\\x0a\\x9b31m\\u202eb\\u2066\\u200f\\ufeff\\u2028é😀')
  assert.equal(printableLines('a\nb\u001b'), 'a\nb\\x1b')
})

test('in JSON they are escaped without a change of the value', () => {
  const json = printableJson(JSON.stringify({ text: HOSTILE }))
  assert.doesNotMatch(json, /[\u007f-\u009f\u202e\u2066\u200f\ufeff\u2028]/)
  assert.deepEqual(JSON.parse(json), { text: HOSTILE })
})
