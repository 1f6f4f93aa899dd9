import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, it } from 'node:test'
import { refuseLauncher } from './launcher.ts'

let directory = ''

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-launcher-'))
  const files = {
    'node_modules/tsx/package.json': '{ "name": "tsx" }',
    'node_modules/tsx/dist/cli.mjs': '',
    'node_modules/.bin/.keep': '',
    'package.json': '{ "name": "app" }',
    'server.ts': '',
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  symlinkSync('../tsx/dist/cli.mjs', join(directory, 'node_modules/.bin/tsx'))
})

after(() => rmSync(directory, { recursive: true }))

it('a command that runs the app in a child process is refused, with the command to use', () => {
  for (const entry of [join(directory, 'node_modules/.bin/tsx'), 'tsx']) {
    assert.throws(
      () => refuseLauncher(entry, ['--env-file=.env', 'server.ts']),
      (error: Error & { code?: string }) =>
        error.code === 'PUNCTUAL_USAGE' && error.message.includes('punctual run server.ts --import tsx'),
    )
  }
})

it('an app is not refused, nor a name that is missing', () => {
  refuseLauncher(join(directory, 'server.ts'), [])
  refuseLauncher('missing.js', [])
})
