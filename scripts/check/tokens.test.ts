import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { importsOf } from './imports.ts'
import { rawTimersOf } from './raw-timers.ts'
import { tokenize } from './tokens.ts'

const specifiers = (source: string): string[] => importsOf(tokenize(source)).map(({ specifier }) => specifier)
const timers = (source: string): string[] => rawTimersOf(tokenize(source)).map(({ what }) => what)

describe('tokenize', () => {
  it('comments and texts are not code', () => {
    const words = tokenize(`// setTimeout\n/* setTimeout */ 'setTimeout' "set\\"Timeout" \`setTimeout\`; /setTimeout/g`)
    assert.deepEqual(
      words.map(({ kind }) => kind),
      ['text', 'text', 'template', 'mark', 'regex'],
    )
  })

  it('code inside a template is code at any depth', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is source code
    assert.deepEqual(timers('`a ${{ b: `${setTimeout(x, 1)}` }.b} setInterval`'), ['setTimeout'])
  })

  it('a division is not a regular expression, and a slash in a character class does not end one', () => {
    assert.deepEqual(timers("const x = a / b; setTimeout(y / 2) // '"), ['setTimeout'])
    assert.deepEqual(timers('return /[/\'"]/.test(x) ? setInterval(f) : 1'), ['setInterval'])
  })

  it('lines in comments and templates are counted', () => {
    const [token] = tokenize('#!/usr/bin/env node\n/* 1\n2 */\n`a\nb`;x').slice(-1)
    assert.deepEqual(token, { kind: 'word', value: 'x', line: 5 })
  })
})

describe('importsOf', () => {
  it('every form of import is found', () => {
    const source = `
      import './a.ts'
      import b from './b.ts'
      import * as c from './c.ts'
      import { d, type D as from } from './d.ts'
      import type { E } from './e.ts'
      import f, { g } from './f.ts'
      export { h } from './h.ts'
      export * from './i.ts'
      export type { J } from './j.ts'
      export * as k from './k.ts'
      const l = await import('./l.ts')
      type M = import('./m.ts').M
      type N = typeof import('./n.ts')`
    assert.deepEqual(
      specifiers(source),
      'abcdefhijklmn'.split('').map((name) => `./${name}.ts`),
    )
  })

  it('text that only looks like an import is ignored', () => {
    const source = `
      // import './a.ts'
      const text = "import './b.ts'"
      export { c }
      export const from = './d.ts'
      await import(path)
      new URL('./e.ts', import.meta.url)
      module.import('./f.ts')
      export default from './g.ts'
      export type H = string`
    assert.deepEqual(specifiers(source), [])
  })
})

describe('rawTimersOf', () => {
  it('every timer and clock of the platform is found', () => {
    const source = `
      setTimeout(f, 1); globalThis.setInterval(f, 1); Date.now(); new Date(); Date(); Promise.race([])
      AbortSignal.timeout(1); const later = setTimeout`
    assert.deepEqual(timers(source), [
      'setTimeout',
      'globalThis.setInterval',
      'Date.now',
      'new Date()',
      'Date()',
      'Promise.race',
      'AbortSignal.timeout',
      'setTimeout',
    ])
    assert.deepEqual(timers("import { setTimeout as sleep } from 'node:timers/promises'"), [
      'import of node:timers/promises',
      'setTimeout',
    ])
  })

  it('methods with such a name and date conversions are ignored', () => {
    assert.deepEqual(timers('socket.setTimeout(1); new Date(text).getTime(); Date.parse(text); Promise.all([])'), [])
  })
})
