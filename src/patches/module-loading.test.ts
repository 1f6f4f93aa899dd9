import assert from 'node:assert/strict'
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import Module from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { observeImportSideEffects } from './import-side-effects.ts'
import { observeModuleLoading } from './module-loading.ts'

const directory = mkdtempSync(join(tmpdir(), 'punctual-load-'))
after(() => rmSync(directory, { recursive: true }))
const url = (name: string): string => pathToFileURL(join(directory, name)).href

test('a profile sees who imports a module, when it is evaluated and what it does, until it is removed', async () => {
  writeFileSync(
    join(directory, 'outer.mjs'),
    `#!/usr/bin/env node\nimport fs from 'node:fs'\nimport './inner.cjs'\nfs.existsSync('x')\nexport const line = new Error().stack.match(/outer\\.mjs:(\\d+)/)[1]\nclass Pool extends (await import('node:events')).EventEmitter {}\nnew Pool()\nclearTimeout(setTimeout(() => {}, 5000))\n`,
  )
  writeFileSync(join(directory, 'inner.cjs'), `'use strict'\nrequire('node:fs').readFileSync(__filename)\n`)
  writeFileSync(join(directory, 'later.mjs'), 'export default 1\n')

  const seen: string[] = []
  const stack: string[] = []
  const name = (of: string): string => basename(of)
  const observer = {
    graph: {
      add: (module: string, importer: string | undefined): void => {
        if (module.startsWith(url(''))) seen.push(`${name(importer ?? '')} imports ${name(module)}`)
      },
    },
    entryOf: () => ({ readMs: 0 }),
    enter: (module: string): void => void stack.push(name(module)),
    leave: (module: string): void => void seen.push(`${name(module)} evaluated after ${stack.pop()}`),
    get current(): object | undefined {
      return stack.length === 0 ? undefined : {}
    },
    note: (what: string): void => void seen.push(`${stack.at(-1)}: ${what}`),
  }
  const { existsSync } = fs
  const { load } = Module.prototype as unknown as { load: unknown }
  const stop = [observeModuleLoading(observer), observeImportSideEffects(observer)]
  const { line } = await import(url('outer.mjs'))
  for (const one of stop) one()
  await import(url('later.mjs'))

  assert.equal(line, '5', 'line numbers are those of the file')
  assert.deepEqual(seen.slice(1), [
    'outer.mjs imports inner.cjs',
    'inner.cjs: readFileSync inner.cjs',
    'inner.cjs evaluated after inner.cjs',
    'outer.mjs: existsSync x',
    'outer.mjs: new Pool',
    'outer.mjs: timer 5s',
    'outer.mjs evaluated after outer.mjs',
  ])
  assert.equal(fs.existsSync, existsSync)
  assert.equal((Module.prototype as unknown as { load: unknown }).load, load)
})
