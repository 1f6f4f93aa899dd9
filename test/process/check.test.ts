import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'

const ROOT = join(import.meta.dirname, '../..')
const LIMIT = 60_000

/** What the checks read. */
const COPIED = ['src', 'docs', 'package.json', 'biome.json', 'tsconfig.json', 'tsconfig.build.json', '.gitignore']

/** A copy of the repository that a test may change. */
let copy: string

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'punctual-check-'))
  for (const path of COPIED) cpSync(join(ROOT, path), join(copy, path), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
})

afterEach(() => {
  rmSync(copy, { recursive: true })
})

interface Outcome {
  readonly code: number
  readonly output: string
}

function check(...steps: string[]): Promise<Outcome> {
  const args = [join(ROOT, 'scripts/check.ts'), '--root', copy, ...steps]
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: LIMIT }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr })
    })
  })
}

/** Writes a new file to the copy. */
function plant(path: string, text: string): void {
  mkdirSync(join(copy, path, '..'), { recursive: true })
  writeFileSync(join(copy, path), text, { flag: 'wx' })
}

describe('npm run check', () => {
  it('passes for this repository', async () => {
    const { code, output } = await check('layers', 'docs')
    assert.equal(code, 0, output)
    assert.match(output, /^ok {3}layers .* s$/m)
    assert.match(output, /^ok {3}docs .* s$/m)
  })

  it('reports an import from a higher layer, also of a type only', async () => {
    plant('src/diagnostics/planted-one.ts', "import type { Command } from '../cli/main.ts'\n")
    plant('src/arbiter/planted-two.ts', "\nexport { planted } from '../http/planted-three.ts'\n")
    plant('src/http/planted-three.ts', 'export const planted = 1\n')
    const { code, output } = await check('layers')
    assert.equal(code, 1)
    assert.match(output, /src\/diagnostics\/planted-one\.ts:1: diagnostics .*\bcli\b/)
    assert.match(output, /src\/arbiter\/planted-two\.ts:2: arbiter .*\bhttp\b/)
  })

  it('reports an import between separate modules of a layer', async () => {
    plant('src/cache/planted.ts', "const x = await import('../queue/planted.ts')\n")
    plant('src/queue/planted.ts', 'export const planted = 1\n')
    const { output } = await check('layers')
    assert.match(output, /src\/cache\/planted\.ts:1: cache .*\bqueue\b/)
  })

  it('reports a cycle of types', async () => {
    plant('src/diagnostics/planted-a.ts', "import type { B } from './planted-b.ts'\nexport interface A { b: B }\n")
    plant('src/diagnostics/planted-b.ts', "import type { A } from './planted-a.ts'\nexport interface B { a: A }\n")
    const { code, output } = await check('layers')
    assert.equal(code, 1)
    assert.match(output, /: diagnostics\/planted-a\.ts -> diagnostics\/planted-b\.ts -> diagnostics\/planted-a\.ts/)
  })

  it('reports a cycle of modules that is no cycle of files', async () => {
    plant('src/diagnostics/planted-a.ts', "import type { B } from '../settings/planted-b.ts'\nexport type A = B\n")
    plant('src/settings/planted-b.ts', 'export type B = string\n')
    plant('src/settings/planted-c.ts', "import type { D } from '../diagnostics/planted-d.ts'\nexport type C = D\n")
    plant('src/diagnostics/planted-d.ts', 'export type D = string\n')
    const { output } = await check('layers')
    assert.match(output, /: diagnostics -> settings -> diagnostics/)
  })

  it('reports a timer and a clock of the platform, but not in comments or texts', async () => {
    const lines = [
      '// setInterval(f)',
      "const text = 'Date.now()'",
      'export const timer = setTimeout(() => {}, Date.now())',
    ]
    plant('src/diagnostics/planted.ts', lines.join('\n'))
    const { code, output } = await check('layers')
    assert.equal(code, 1)
    assert.match(output, /src\/diagnostics\/planted\.ts:3: setTimeout /)
    assert.match(output, /src\/diagnostics\/planted\.ts:3: Date\.now /)
    assert.equal(output.match(/planted\.ts/g)?.length, 2)
  })

  it('reports a module without a layer, and a missing file', async () => {
    plant('src/helpers/planted.ts', "import { gone } from './gone.ts'\n")
    const { output } = await check('layers')
    assert.match(output, /src\/helpers\/planted\.ts: .*"helpers"/)
    assert.match(output, /src\/helpers\/planted\.ts:1: .*\.\/gone\.ts/)
  })

  it('reports a page that differs from its source', async () => {
    appendFileSync(join(copy, 'docs/reference/settings.md'), 'A sentence of my own.\n')
    rmSync(join(copy, 'docs/reference/errors.md'))
    const { code, output } = await check('docs')
    assert.equal(code, 1)
    assert.match(output, /^FAIL docs .*\n {5}docs\/reference\/settings\.md /m)
    assert.match(output, /^ {5}docs\/reference\/errors\.md /m)
  })

  it('refuses an unknown check', async () => {
    const { code, output } = await check('layrs')
    assert.equal(code, 2)
    assert.match(output, /\blayrs\b/)
  })

  it('names a word that plain English has a better one for, and a comment that is too wide', async () => {
    plant('src/diagnostics/planted.ts', `// Read by nobody.\n// ${'wide '.repeat(20)}\nexport const planted = 1\n`)
    const { code, output } = await check('prose')
    assert.equal(code, 1)
    assert.match(output, /src\/diagnostics\/planted\.ts:1: /)
    assert.match(output, /src\/diagnostics\/planted\.ts:2: /)
  })
})
