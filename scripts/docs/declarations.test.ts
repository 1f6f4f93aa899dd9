import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { type Declaration, readExports } from './declarations.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-declarations-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

function write(name: string, text: string): string {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

function only(text: string): Declaration {
  const [declared] = [...readExports(write('one.d.ts', text)).values()]
  const [declaration] = declared ?? []
  assert.ok(declaration !== undefined)
  return declaration
}

test('exports are followed to their declarations, under their exported names', () => {
  write('wait.d.ts', 'export declare function wait(): void;\nexport declare function hidden(): void;\n')
  write('kinds.d.ts', "export type Kind = 'a' | 'b';\ndeclare const secret: unique symbol;\n")
  const entry = write(
    'index.d.ts',
    "export { wait as pause, } from './wait.ts';\nexport * from './kinds.js';\nexport declare const version: string;\n",
  )
  const found = readExports(entry)
  assert.deepEqual([...found].map(([name, [declared]]) => [name, declared?.kind]).toSorted(), [
    ['Kind', 'type'],
    ['pause', 'function'],
    ['version', 'const'],
  ])
  assert.throws(() => readExports(write('wrong.d.ts', "export { gone } from './wait.ts';\n")), /gone/)
})

test('a function has its signature, and a doc comment is split into its parts', () => {
  const parameters = [
    'name: string',
    'work: (wait: Map<string, Wait>) => Promise<Value>',
    'options?: { readonly a: 1 }',
  ]
  const { signature, doc } = only(
    [
      '/**',
      ' * Awaits work,',
      ' * for a limited time:',
      ' * - `a`: one',
      ' *',
      ' *     await wait(1)',
      ' *',
      ' * @param name what is',
      ' *   waited for',
      ' * @returns what `work` returns',
      ' * @throws {RangeError} for a name that is none',
      ' */',
      `export declare function wait<Value extends Map<string, 1>>(${parameters.join(', ')}): Promise<Value>;`,
    ].join('\n'),
  )
  assert.equal(signature, `function wait<Value extends Map<string, 1>>(${parameters.join(', ')}): Promise<Value>`)
  assert.deepEqual(doc, {
    text: 'Awaits work, for a limited time:\n- `a`: one\n\n```ts\nawait wait(1)\n```',
    params: [['name', 'what is waited for']],
    returns: 'what `work` returns',
    throws: ['`RangeError` for a name that is none'],
  })
})

test('a class has its public members', () => {
  const { signature, members } = only(
    [
      'export declare class Breaker extends Base {',
      '    #private;',
      '    readonly name: string;',
      '    /** Its state now. */',
      "    get state(): 'closed' | 'open';",
      "    set state(value: 'closed' | 'open');",
      '    private hidden;',
      '    /** @internal */',
      '    tick(): void;',
      '    /** Calls `work`. */',
      '    run<Value>(work: () => Value, options?: {',
      '        readonly a?: 1;',
      '    }): Promise<Value>;',
      '}',
    ].join('\n'),
  )
  assert.match(signature, /^class Breaker extends Base \{/)
  assert.deepEqual(
    members.map((member) => [member.signature, member.doc.text]),
    [
      ['name: string', ''],
      ["get state(): 'closed' | 'open'", 'Its state now.'],
      ['run<Value>(work: () => Value, options?: { readonly a?: 1; }): Promise<Value>', 'Calls `work`.'],
    ],
  )
})

test('overloads are declarations of one name', () => {
  const entry = write(
    'one.d.ts',
    '/** One. */\nexport declare function load(key: 1): 1;\nexport declare function load(key: 2): 2;\n',
  )
  assert.deepEqual(
    readExports(entry)
      .get('load')
      ?.map(({ signature }) => signature),
    ['function load(key: 1): 1', 'function load(key: 2): 2'],
  )
})
