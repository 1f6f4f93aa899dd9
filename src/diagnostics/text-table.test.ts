import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textTable, wrapText } from './text-table.ts'

test('text is aligned left, numbers right', () => {
  const columns = [
    { heading: 'PID', align: 'right' },
    { heading: 'STATE', align: 'left' },
  ] as const
  assert.equal(
    textTable(columns, [
      ['1', 'ready'],
      ['12345', 'draining'],
    ]),
    '  PID  STATE\n    1  ready\n12345  draining\n',
  )
})

test('a paragraph is wrapped at spaces, and a long word is not broken', () => {
  assert.equal(wrapText('one two three four', 12, '  '), '  one two\n  three four\n')
  assert.equal(wrapText(`a ${'x'.repeat(20)} b`, 10, ''), `a\n${'x'.repeat(20)}\nb\n`)
  assert.equal(wrapText('', 10, '  '), '  \n')
})
