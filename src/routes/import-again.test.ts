import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { importAgain } from './import-again.ts'

const directory = mkdtempSync(join(tmpdir(), 'punctual-import-'))
after(() => rmSync(directory, { recursive: true }))

function write(files: Readonly<Record<string, string>>): (name: string) => Promise<Record<string, unknown>> {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return (name) => importAgain(() => import(pathToFileURL(join(directory, name)).href))
}

/** Throws the first `times` times it is evaluated. */
const throwing = (name: string, times: number): string =>
  `globalThis.${name} = (globalThis.${name} ?? 0) + 1\nif (globalThis.${name} <= ${times}) throw new Error('${name} ' + globalThis.${name})\n`

describe('importing again', () => {
  it('evaluates anew a module that threw, and those that import it, but none that was evaluated well', async () => {
    const load = write({
      'entry.mjs': `import './between.mjs'\nimport { pool } from './sound.mjs'\nexport { pool }\nexport default 'loaded'`,
      'between.mjs': `import './sound.mjs'\nimport './throws.mjs'`,
      'throws.mjs': throwing('againThrows', 2),
      'sound.mjs': `globalThis.againSound = (globalThis.againSound ?? 0) + 1\nexport const pool = {}`,
    })
    await assert.rejects(load('entry.mjs'), /againThrows 1/)
    await assert.rejects(load('entry.mjs'), /againThrows 2/)
    const { default: loaded, pool } = await load('entry.mjs')
    assert.equal(loaded, 'loaded')
    assert.equal((globalThis as { againSound?: number }).againSound, 1)
    assert.equal((await load('sound.mjs')).pool, pool)
  })

  it('gives others who import the same module the one that was evaluated anew', async () => {
    const load = write({
      'one.mjs': `export { made } from './shared.mjs'`,
      'two.mjs': `export { made } from './shared.mjs'`,
      'shared.mjs': `${throwing('againShared', 1)}export const made = {}`,
    })
    await assert.rejects(load('one.mjs'), /againShared 1/)
    const { made } = await load('one.mjs')
    await assert.rejects(load('none.mjs'))
    assert.equal((await load('two.mjs').catch(() => load('two.mjs'))).made, made)
  })

  it('evaluates CommonJS anew that an ES module imports', async () => {
    const load = write({
      'outer.mjs': `import inner from './inner.cjs'\nexport default inner`,
      'inner.cjs': `'use strict'\nmodule.exports = require('./innermost.cjs')`,
      'innermost.cjs': `${throwing('againCjs', 1)}module.exports = 'well'`,
    })
    await assert.rejects(load('outer.mjs'), /againCjs 1/)
    assert.equal((await load('outer.mjs')).default, 'well')
  })

  it('reads a file again that was missing or not valid', async () => {
    const load = write({ 'invalid.mjs': 'export default 1 +' })
    await assert.rejects(load('invalid.mjs'), SyntaxError)
    await assert.rejects(load('missing.mjs'), /missing\.mjs/)
    write({ 'invalid.mjs': 'export default 2', 'missing.mjs': 'export default 3' })
    assert.equal((await load('invalid.mjs')).default, 2)
    assert.equal((await load('missing.mjs')).default, 3)
  })
})
