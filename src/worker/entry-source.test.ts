import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { mentionsListening } from './entry-source.ts'

let directory = ''

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-entry-'))
  process.env.ENTRY_SOURCE_TEST = 'production'
})

after(() => {
  delete process.env.ENTRY_SOURCE_TEST
  rmSync(directory, { recursive: true })
})

function mentions(text: string, imported = ''): Promise<boolean> {
  writeFileSync(join(directory, 'start.js'), imported)
  const entry = join(directory, 'entry.js')
  writeFileSync(entry, text)
  return mentionsListening(entry)
}

it('the code of the app says that it will listen, in the entry or in what it imports', async () => {
  assert.equal(await mentions("connect('mongodb://db/app').then(() => app.listen(3000))"), true)
  assert.equal(await mentions("import { serve } from '@hono/node-server'\nlater(() => serve({ fetch }))"), true)
  assert.equal(await mentions("import './start.js'", 'export const start = () => app.listen(3000)'), true)
  assert.equal(await mentions("require('./start')", 'app\n  .listen (3000)'), true)
})

it('comments, other functions and packages do not count', async () => {
  assert.equal(await mentions('  // app.listen(3000)\n/*\n app.listen(3000)\n*/\nexport default app'), false)
  assert.equal(await mentions("import serve from 'koa-static'\napp.use(serve('public'))"), false)
  assert.equal(await mentions("import express from 'express'\nexport default express()"), false)
  assert.equal(await mentions("probe.listen(0, '127.0.0.1')\nexport default app"), false)
  assert.equal(await mentions("bus.listen('user:saved', mail)\nexport default app"), false)
  assert.equal(await mentions("app.listen('/run/app.sock')\napp.on('x')"), true)
  assert.equal(await mentions("app.listen('3000')"), true)
})

it('a branch that this environment excludes does not count, its alternative does', async () => {
  const listen = '{ app.listen(3000, () => { console.log("dev") }) }'
  assert.equal(
    await mentions(`if (process.env.ENTRY_SOURCE_TEST !== 'production') ${listen}\nexport default app`),
    false,
  )
  assert.equal(await mentions(`if (process.env.ENTRY_SOURCE_TEST === 'production') ${listen}`), true)
  assert.equal(await mentions(`if (!process.env.ENTRY_SOURCE_TEST) app.listen(3000)\nexport default app`), false)
  assert.equal(await mentions(`if (process.env.ENTRY_SOURCE_TEST) { serve() } else ${listen}`), false)
  assert.equal(await mentions(`if (process.env.ENTRY_SOURCE_NONE) { serve() } else ${listen}`), true)
  assert.equal(await mentions(`if (process.env.ENTRY_SOURCE_NONE) serve()\napp.listen(3000)`), true)
})

it('what only the primary process of a cluster does, does not count', async () => {
  assert.equal(await mentions('if (cluster.isPrimary && import.meta.main) { app.listen(3000) }'), false)
  assert.equal(await mentions('if (isMaster) { fork() } else { app.listen(3000) }'), true)
  assert.equal(await mentions('if (cluster.isPrimary) fork()\nelse app.listen(3000)'), true)
})
