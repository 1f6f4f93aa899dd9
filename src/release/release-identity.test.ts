import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { findVersion, type ReleaseVersion } from './release-identity.ts'

let cwd: string

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'punctual-version-'))
})

afterEach(() => rmSync(cwd, { recursive: true }))

function find(written = 'auto'): Promise<ReleaseVersion> {
  return findVersion({ setting: written, cwd, stateDir: join(cwd, '.punctual'), packageVersion: '1.4.0' })
}

function git(...args: readonly string[]): void {
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd, stdio: 'ignore' })
}

describe('findVersion', () => {
  it('returns the version that is set, as certain', async () => {
    assert.deepEqual(await find('2026-11-22'), { name: '2026-11-22', certain: true })
  })

  it('is not certain without a commit: few apps change the version in package.json with every deployment', async () => {
    assert.deepEqual(await find(), { name: '1.4.0', certain: false })
  })

  it('returns the commit if nothing is uncommitted, ignoring files that Punctual writes', async () => {
    git('init')
    writeFileSync(join(cwd, 'a.js'), '1')
    git('add', '.')
    git('commit', '-m', 'one')
    mkdirSync(join(cwd, '.punctual'))
    writeFileSync(join(cwd, '.punctual/releases.jsonl'), '')
    const clean = await find()
    assert.match(clean.name, /^1\.4\.0-[0-9a-f]{12}$/)
    assert.equal(clean.certain, true)
    writeFileSync(join(cwd, 'migration.js'), '2')
    const changed = await find()
    assert.deepEqual(changed, { name: `${clean.name}-changed`, certain: false })
  })
})
