import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
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

/** Throws the first `times` times that it is evaluated. */
const throwing = (name: string, times: number): string =>
  `globalThis.${name} = (globalThis.${name} ?? 0) + 1\nif (globalThis.${name} <= ${times}) throw new Error('${name} ' + globalThis.${name})\n`

describe('importAgain', () => {
  it('evaluates again a module that threw, and those that import it, but no other', async () => {
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

  it('gives other importers the module that was evaluated again', async () => {
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

  it('evaluates again a module that failed on a connection, whose stack does not name it', async () => {
    const socket = join(directory, 'socket')
    const load = write({
      'asks.mjs': `import './connects.mjs'\nexport default 'connected'`,
      'connects.mjs': `import { once } from 'node:events'\nimport net from 'node:net'\nconst socket = net.connect(${JSON.stringify(socket)})\nawait once(socket, 'connect')\nsocket.destroy()`,
    })
    await assert.rejects(load('asks.mjs'), { code: 'ENOENT' })
    await assert.rejects(load('asks.mjs'), { code: 'ENOENT' })
    const server = net.createServer().listen(socket)
    await once(server, 'listening')
    try {
      assert.equal((await load('asks.mjs')).default, 'connected')
    } finally {
      server.close()
    }
  })

  it('finds the module that failed behind one that hangs, and if its error is wrapped', async () => {
    write({
      'both.mjs': `import './hangs.mjs'\nimport './late.mjs'`,
      'hangs.mjs': `await new Promise(() => {})`,
      'late.mjs': `await new Promise((resolve) => setImmediate(resolve))\n${throwing('againLate', 2)}`,
    })
    const load = (): Promise<unknown> =>
      importAgain(() =>
        import(pathToFileURL(join(directory, 'both.mjs')).href).catch((cause) => {
          throw new Error('wrapped', { cause })
        }),
      )
    await assert.rejects(load(), { message: 'wrapped', cause: new Error('againLate 1') })
    await assert.rejects(load(), { message: 'wrapped', cause: new Error('againLate 2') })
  })

  it('does not evaluate a module again if only its export fails', async () => {
    write({
      'well.mjs': `globalThis.againWell = (globalThis.againWell ?? 0) + 1\nexport default () => { throw new Error('not mounted') }`,
    })
    const mount = (): Promise<unknown> =>
      importAgain(async () => (await import(pathToFileURL(join(directory, 'well.mjs')).href)).default())
    await assert.rejects(mount(), /not mounted/)
    await assert.rejects(mount(), /not mounted/)
    assert.equal((globalThis as { againWell?: number }).againWell, 1)
  })

  it('evaluates again a module that is imported by the export of another, but not the other', async () => {
    write({
      'gives.mjs': `globalThis.againGives = (globalThis.againGives ?? 0) + 1\nexport default () => import('./given.mjs')`,
      'given.mjs': `${throwing('againGiven', 2)}export default 'given'`,
    })
    const mount = (): Promise<{ readonly default: string }> =>
      importAgain(async () => (await import(pathToFileURL(join(directory, 'gives.mjs')).href)).default())
    await assert.rejects(mount(), /againGiven 1/)
    await assert.rejects(mount(), /againGiven 2/)
    assert.equal((await mount()).default, 'given')
    assert.equal((globalThis as { againGives?: number }).againGives, 1)
  })

  it('does not evaluate modules after one that threw', async () => {
    const load = write({
      'ordered.mjs': `import './first.mjs'\nimport './second.mjs'`,
      'first.mjs': throwing('againFirst', 1),
      'second.mjs': `globalThis.againSecond = globalThis.againFirst`,
    })
    await assert.rejects(load('ordered.mjs'), /againFirst 1/)
    assert.equal((globalThis as { againSecond?: number }).againSecond, undefined)
    await load('ordered.mjs')
    assert.equal((globalThis as { againSecond?: number }).againSecond, 2)
  })

  it('evaluates a module once more, however many loads have failed with it', async () => {
    const load = write({
      'left.mjs': `export { made } from './center.mjs'`,
      'right.mjs': `export { made } from './center.mjs'`,
      'center.mjs': `${throwing('againCenter', 1)}export const made = {}`,
    })
    await Promise.all([assert.rejects(load('left.mjs')), assert.rejects(load('right.mjs'))])
    const [left, right] = await Promise.all([load('left.mjs'), load('right.mjs')])
    assert.equal(left.made, right.made)
    assert.equal((globalThis as { againCenter?: number }).againCenter, 2)
  })

  it('evaluates again CommonJS that an ES module imports', async () => {
    const load = write({
      'outer.mjs': `import inner from './inner.cjs'\nexport default inner`,
      'inner.cjs': `'use strict'\nmodule.exports = require('./innermost.cjs')`,
      'innermost.cjs': `${throwing('againCjs', 1)}module.exports = 'well'`,
    })
    await assert.rejects(load('outer.mjs'), /againCjs 1/)
    assert.equal((await load('outer.mjs')).default, 'well')
  })

  it('reads again a file that was missing or invalid', async () => {
    const load = write({ 'invalid.mjs': 'export default 1 +' })
    await assert.rejects(load('invalid.mjs'), SyntaxError)
    await assert.rejects(load('missing.mjs'), /missing\.mjs/)
    write({ 'invalid.mjs': 'export default 2', 'missing.mjs': 'export default 3' })
    assert.equal((await load('invalid.mjs')).default, 2)
    assert.equal((await load('missing.mjs')).default, 3)
  })
})
