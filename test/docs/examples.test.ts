import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type CodeBlock, findCodeBlocks, findPages, importsOf } from './code-blocks.ts'
import { PRELUDE, PRELUDE_NAMES } from './prelude.ts'

const ROOT = join(import.meta.dirname, '../..')
const HOOK = join(ROOT, 'test/process/support/punctual-from-source.mjs')
/** Fragments that do not compile by themselves; such a block is the exception. */
const MOST_UNCHECKED = 3

const blocks = findCodeBlocks(ROOT)
const checked = blocks.filter(({ note }) => note !== 'no-check')
/** Inside the repository, so that the packages of its node_modules are found. */
mkdirSync(join(ROOT, '.cache'), { recursive: true })
const directory = mkdtempSync(join(ROOT, '.cache/docs-'))
const blockOf = new Map<string, CodeBlock>(checked.map((block) => [fileOf(block), block]))

/**
 * A block that begins with a comment such as `// reports.ts` is that file, for the other blocks of
 * its page.
 */
function fileOf({ page, line, language, code }: CodeBlock): string {
  const name = /^\/\/ (\S+\.[jt]s)\n/.exec(code)?.[1] ?? `line-${line}.${language}`
  return join(directory, basename(page, '.md'), name)
}

before(() => {
  for (const [file, { code }] of blockOf) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, /^(?:import|export) /m.test(code) ? code : `${code}export {}\n`)
  }
  writeFileSync(join(directory, 'prelude.d.ts'), PRELUDE)
  const compilerOptions = { declaration: false, isolatedDeclarations: false, allowJs: true }
  const config = { extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: ['**/*'] }
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config))
})

after(() => rmSync(directory, { recursive: true }))

describe('the examples of the documentation', { concurrency: 2 }, () => {
  it('compile', async () => {
    const { code, printed, errors } = await run(
      join(ROOT, 'node_modules/.bin/tsc'),
      ['-p', directory, '--pretty', 'false'],
      ROOT,
    )
    const faults = printed.replaceAll(/^(\S+)\((\d+),\d+\)/gm, (place, path: string, line: string) => {
      const block = blockOf.get(join(ROOT, path))
      return block === undefined ? place : `${block.page}:${block.line + Number(line)}`
    })
    assert.equal(code, 0, faults || errors)
  })

  it(`are fragments in at most ${MOST_UNCHECKED} places`, () => {
    const unchecked = blocks.filter(({ note }) => note !== '').map(({ page, line }) => `${page}:${line}`)
    assert.ok(unchecked.length <= MOST_UNCHECKED, unchecked.join(', '))
  })

  for (const [file, block] of blockOf) {
    if (!isRunnable(block)) continue
    it(`${block.page}:${block.line} runs and prints what its comments say`, async () => {
      const { code, printed, errors } = await run(process.execPath, ['--import', HOOK, file], dirname(file))
      assert.equal(code, 0, `${block.page}:${block.line} exited with ${code}:\n${errors}`)
      for (const [, expected = ''] of block.code.matchAll(/^(?:if \(.*\) )?console\.log\(.*\) \/\/ (.*)$/gm)) {
        assert.ok(
          printed.split('\n').includes(expected),
          `${block.page}:${block.line} printed no "${expected}":\n${printed}`,
        )
      }
    })
  }
})

/** Whether a block needs no database and no part of an app, and ends. */
function isRunnable({ code }: CodeBlock): boolean {
  if (/ from 'pg'|\.listen\(/.test(code)) return false
  return PRELUDE_NAMES.every(
    (name) =>
      !new RegExp(`(?<![.\\w'])${name}\\b`).test(code) || new RegExp(`(?:const|function) ${name}\\b`).test(code),
  )
}

function run(command: string, flags: readonly string[], cwd: string) {
  return new Promise<{ code: number; printed: string; errors: string }>((resolve) => {
    const env = { ...process.env, NODE_COMPILE_CACHE: join(directory, 'compiled') }
    execFile(command, flags, { cwd, env, timeout: 60_000 }, (error, printed, errors) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), printed, errors })
    })
  })
}

describe('the public names', () => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const modules = Object.entries<{ default?: string }>(exports).flatMap(([path, { default: target }]) =>
    target === undefined
      ? []
      : [{ name: path.replace('.', 'punctual'), source: target.replace('./dist/', './src/').replace(/\.js$/, '.ts') }],
  )
  const imported = new Set(checked.flatMap(({ code }) => importsOf(code).map(({ name, from }) => `${name} ${from}`)))

  it('are each imported by an example, from a module that exports them', async () => {
    /** By value, because two modules may export the same. */
    const places = new Map<unknown, string[]>()
    for (const { name: module, source } of modules) {
      for (const [name, value] of Object.entries(await import(join(ROOT, source)))) {
        places.set(value, [...(places.get(value) ?? []), `${name} ${module}`])
      }
    }
    const missing = [...places.values()].filter((names) => !names.some((name) => imported.has(name)))
    assert.deepEqual(
      missing.map(([name]) => name),
      [],
    )
  })

  it('of types are each in a page', () => {
    const pages = [...findPages(ROOT), 'docs/reference/api.md']
    const words = new Set(pages.flatMap((page) => readFileSync(join(ROOT, page), 'utf8').match(/\w+/g) ?? []))
    const missing = modules.flatMap(({ name: module, source }) =>
      typesOf(readFileSync(join(ROOT, source), 'utf8'))
        .filter((name) => !words.has(name))
        .map((name) => `${name} ${module}`),
    )
    assert.deepEqual(missing, [])
  })
})

/** The types that the text of a module exports. */
function typesOf(source: string): readonly string[] {
  const declared = [...source.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name = '']) => name)
  const lists = [...source.matchAll(/^export (type )?\{([^}]*)\}/gm)].flatMap(({ 1: all, 2: names = '' }) =>
    names
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && (all !== undefined || name.startsWith('type '))),
  )
  return [...declared, ...lists.map((name) => name.replace(/^type /, ''))]
}
