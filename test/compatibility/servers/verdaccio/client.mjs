import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

// npm itself publishes a package, and installs it again.
const [, , url] = process.argv
const npm = (...args) =>
  promisify(execFile)('npm', [...args, '--registry', url, '--loglevel=error', '--no-audit', '--no-fund', '--no-update-notifier'], { cwd: directory, timeout: 50_000 })
const directory = mkdtempSync(join(tmpdir(), 'compat-verdaccio-'))
const name = `compat-${randomUUID()}`
try {
  writeFileSync(join(directory, '.npmrc'), `//${new URL(url).host}/:_authToken=for-this-test\n`)
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name, version: '1.0.0' }))
  await npm('publish')
  const { stdout } = await npm('view', name, 'version')
  assert.equal(stdout.trim(), '1.0.0')
} finally {
  rmSync(directory, { recursive: true, force: true })
}
