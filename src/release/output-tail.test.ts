import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OutputTail } from './output-tail.ts'

describe('OutputTail', () => {
  it('reports whole lines from any chunks, including a last one without newline', () => {
    const lines: string[] = []
    const tail = new OutputTail((line) => lines.push(line))
    for (const chunk of ['on', 'e\ntw', 'o\n\nthree']) tail.add(chunk)
    tail.end()
    assert.deepEqual(lines, ['one', 'two', 'three'])
    assert.equal(tail.text, 'one\ntwo\nthree')
  })

  it('keeps a bounded number of last lines of bounded length', () => {
    const tail = new OutputTail(() => {})
    for (let n = 0; n < 1_000; n++) tail.add(`line ${n}\n`)
    tail.add('x'.repeat(1_000_000))
    tail.end()
    assert.equal(tail.text.split('\n').length, 30)
    assert.ok(tail.text.length < 20_000)
    assert.match(tail.text, /line 999/)
  })

  it('does not mix two streams within a line, and drops colours and earlier states of a progress bar', () => {
    const lines: string[] = []
    const tail = new OutputTail((line) => lines.push(line))
    tail.add('half of ', 'stdout')
    tail.add('\u001b[31mred\u001b[0m\n', 'stderr')
    tail.add('a line\r\n10 %\r50 %\r100 %\n', 'stdout')
    tail.add('rest', 'stderr')
    tail.end()
    assert.deepEqual(lines, ['red', 'half of a line', '100 %', 'rest'])
  })
})
