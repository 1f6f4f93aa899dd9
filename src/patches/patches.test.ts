import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '../..')
/** Used by patches, and change nothing themselves. */
const HELPERS = ['patch-function.ts', 'socket-addresses.ts', 'socket-file.ts']

test('every patch says what it replaces, why, on which versions of Node it was checked, and which test would notice a change', () => {
  const files = globSync('*.ts', { cwd: import.meta.dirname }).filter((name) => !name.endsWith('.test.ts'))
  for (const name of files.filter((file) => !HELPERS.includes(file))) {
    const [header = ''] = readFileSync(join(import.meta.dirname, name), 'utf8').split('*/')
    for (const part of ['/**\n * ', '\n * Why: ', '\n * Checked on: Node ', '\n * Test: ']) {
      assert.ok(header.includes(part), `${name}: ${part.trim()}`)
    }
    const path = /\* Test: (\S+)/.exec(header)?.[1] ?? ''
    assert.ok(existsSync(join(ROOT, path)), `${name}: ${path}`)
  }
})
