import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { StackFrame } from './incident.ts'
import { SourceMapper } from './source-mapper.ts'

const TSC = fileURLToPath(new URL('../../node_modules/.bin/tsc', import.meta.url))
/** Has types and blank lines, so that compiled positions differ. */
const SOURCE = `interface User {
  readonly name: string
}

type Names = readonly string[]

export function verify(user: User, names: Names): boolean {
  const known = names.includes(user.name)

  throw new Error('here' + known)
}
`
let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-maps-'))
  mkdirSync(join(directory, 'src'))
  writeFileSync(join(directory, 'src', 'login.ts'), SOURCE)
})
afterEach(() => rmSync(directory, { recursive: true }))

/** Compiles the file; returns where the compiled function throws. */
async function compiledFrame(...flags: string[]): Promise<StackFrame> {
  const out = join(directory, 'dist')
  execFileSync(process.execPath, [
    TSC,
    join(directory, 'src', 'login.ts'),
    '--ignoreConfig',
    '--outDir',
    out,
    '--target',
    'es2022',
    '--module',
    'es2022',
    '--rootDir',
    join(directory, 'src'),
    ...flags,
  ])
  writeFileSync(join(out, 'package.json'), '{"type":"module"}')
  const file = join(out, 'login.js')
  const url = pathToFileURL(file)
  const { verify } = (await import(url.href)) as { verify: (user: object, names: string[]) => boolean }
  try {
    verify({ name: 'a' }, [])
  } catch (error) {
    const [, line, column] = /login\.js:(\d+):(\d+)/.exec((error as Error).stack ?? '') ?? []
    return { function: 'verify', file, line: Number(line), column: Number(column) }
  }
  throw new Error('it does not throw')
}

for (const [what, flag] of [
  ['a file beside it', '--sourceMap'],
  ['a map within it', '--inlineSourceMap'],
] as const) {
  test(`a compiled frame with ${what} is mapped to the TypeScript line`, async () => {
    const compiled = await compiledFrame(flag)
    assert.notEqual(compiled.line, 10)
    const expected = { function: 'verify', file: join(directory, 'src', 'login.ts'), line: 10, column: 9 }
    const [mapped] = await new SourceMapper().map([compiled])
    assert.deepEqual(mapped, expected)
    const [again] = await new SourceMapper().map([{ ...compiled, file: pathToFileURL(compiled.file).href }])
    assert.deepEqual(again, expected)
  })
}

test('a frame with a broken source map is returned unchanged', async () => {
  const put = (name: string, text: string): StackFrame => {
    writeFileSync(join(directory, name), text)
    return { function: 'f', file: join(directory, name), line: 1, column: 1 }
  }
  const comment = '//# sourceMappingURL='
  const frames = [
    put('none.js', 'f()'),
    put('missing.js', `f()\n${comment}missing.map`),
    put('garbage.js', `f()\n${comment}data:application/json;base64,AAAA`),
    put('remote.js', `f()\n${comment}https://example.com/a.map`),
    put('device.js', `f()\n${comment}/dev/zero`),
    put(
      'empty.js',
      `f()\n${comment}data:application/json,${encodeURIComponent('{"version":3,"sources":[],"mappings":""}')}`,
    ),
    { function: 'f', file: 'node:fs', line: 1, column: 1 },
    { function: 'f', file: 'evalmachine.<anonymous>', line: 1, column: 1 },
    { function: 'f', file: join(directory, 'nowhere.js'), line: 1, column: 1 },
    { function: 'f', file: '/dev/zero', line: 1, column: 1 },
  ]
  assert.deepEqual(await new SourceMapper().map(frames), frames)
})

test('a recompiled file is read again', async () => {
  const positions = new SourceMapper()
  const [before] = await positions.map([await compiledFrame('--sourceMap')])
  assert.equal(before?.line, 10)
  const plain = { function: 'f', file: join(directory, 'dist', 'login.js'), line: 2, column: 1 }
  writeFileSync(plain.file, 'export function verify() {\n}\n')
  assert.deepEqual(await positions.map([plain]), [plain])
})
