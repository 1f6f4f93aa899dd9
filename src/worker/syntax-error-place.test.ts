import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { placeOfSyntaxError } from './syntax-error-place.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-syntax-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

function write(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

async function errorOf(entry: string): Promise<SyntaxError> {
  try {
    await import(pathToFileURL(entry).href)
  } catch (error) {
    return error as SyntaxError
  }
  throw new Error('it has no fault')
}

describe('the place of a syntax error', () => {
  it('is file, line and spot, also in a module behind the entry', async () => {
    write('routes.mjs', '#!/usr/bin/env node\nexport const a = 1\nlet b = ;\n')
    const entry = write('app.mjs', 'import "./routes.mjs"\n')
    const place = await placeOfSyntaxError(await errorOf(entry), entry, [])
    assert.equal(place, `${pathToFileURL(join(directory, 'routes.mjs')).href}:3\nlet b = ;\n        ^`)
  })

  it('is found without running anything of the app', async () => {
    const mark = join(directory, 'ran')
    const run = `fs.writeFileSync(${JSON.stringify(mark)}, '')\n`
    write('common.cjs', `const fs = require('node:fs')\n${run}`)
    write('first.mjs', `import fs from 'node:fs'\nimport './common.cjs'\n${run}`)
    write('broken.mjs', 'export const = 1\n')
    const entry = write('app.mjs', 'import "./first.mjs"\nimport "./broken.mjs"\n')
    const error = await errorOf(entry)
    assert.match((await placeOfSyntaxError(error, entry, [])) ?? '', /broken\.mjs:1\n/)
    const fine = write('fine.mjs', 'import "./first.mjs"\n')
    assert.equal(await placeOfSyntaxError(error, fine, []), null)
    assert.equal(existsSync(mark), false)
  })

  it('is not guessed: an error that is not found again has none', async () => {
    const entry = write('app.mjs', 'export const a = 1\n')
    assert.equal(await placeOfSyntaxError(new SyntaxError("Unexpected token ';'"), entry, []), null)
    const other = write('other.mjs', 'let b = ;\n')
    assert.equal(await placeOfSyntaxError(new SyntaxError('Invalid regular expression'), other, []), null)
  })
})
