import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, it } from 'node:test'
import { overriddenInEnvFiles } from './env-files.ts'
import { resolveSettings } from './resolve.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-env-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

function overridden(files: Record<string, string>, env: Record<string, string> = {}): readonly string[] {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  const { settings, origins } = resolveSettings({ flags: {}, env, cwd: directory, isTerminal: false })
  return overriddenInEnvFiles(directory, env, settings, origins).map(({ variable, file }) => `${file} ${variable}`)
}

it('a port or host of an .env file that the app does not get is reported, with the file', () => {
  assert.deepEqual(overridden({ '.env': 'PORT=8080\nHOST="127.0.0.1"\nOTHER=1\n' }), ['.env PORT', '.env HOST'])
  assert.deepEqual(overridden({ '.env': 'PORT=8080' }, { PUNCTUAL_PORT: '3000' }), ['.env PORT'])
})

it('a value that the app gets anyway is not, nor one that the environment replaces as under node', () => {
  assert.deepEqual(overridden({ '.env': 'PORT=3000\nHOST=0.0.0.0' }), [])
  assert.deepEqual(overridden({ '.env': 'PORT=8080' }, { PORT: '4000' }), [])
})

it('an app without such files has none', () => {
  assert.deepEqual(overridden({}), [])
})

it('the file that libraries prefer counts', () => {
  const files = { '.env': 'PORT=8080', '.env.production': 'PORT=3000', '.env.test': 'PORT=9000' }
  assert.deepEqual(overridden(files, { NODE_ENV: 'production' }), [])
  assert.deepEqual(overridden(files), ['.env PORT'])
})
