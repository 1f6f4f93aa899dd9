import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'

/** A program of npm or Node that takes longer has hung. */
const LIMIT = 60_000

/**
 * Where a project is worked on, and a checkout of it. Its dependencies are files in it, so that no
 * registry is asked.
 */
let origin: string
let checkout: string
before(() => {
  origin = mkdtempSync(join(tmpdir(), 'punctual-install-'))
  checkout = mkdtempSync(join(tmpdir(), 'punctual-install-'))
  cpSync(join(import.meta.dirname, 'install.mjs'), join(origin, 'scripts/install.mjs'))
})
after(() => {
  for (const directory of [origin, checkout]) rmSync(directory, { recursive: true, force: true })
})

/** The project comes to have these dependencies, and the checkout to be as the project is. */
function pull(versions: Readonly<Record<string, string>>): void {
  const dependencies: Record<string, string> = {}
  for (const [name, version] of Object.entries(versions)) {
    const source = join(origin, 'sources', name)
    mkdirSync(source, { recursive: true })
    writeFileSync(join(source, 'package.json'), JSON.stringify({ name, version }))
    run(origin, 'npm', 'pack', source)
    dependencies[name] = `file:${name}-${version}.tgz`
  }
  writeFileSync(join(origin, 'package.json'), JSON.stringify({ name: 'project', private: true, dependencies }))
  run(origin, 'npm', 'install', '--package-lock-only', '--no-audit', '--no-fund')
  cpSync(origin, checkout, { recursive: true })
}

/** What it complained of. */
function run(cwd: string, program: string, ...args: readonly string[]): string {
  // npm sets variables for the project that it runs, and for the user's settings.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)))
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: LIMIT,
    killSignal: 'SIGKILL',
  })
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`)
  return stderr
}

const install = (): string => run(checkout, process.execPath, 'scripts/install.mjs')
const installed = (...names: readonly string[]): readonly string[] =>
  names.map((name) => JSON.parse(readFileSync(join(checkout, 'node_modules', name, 'package.json'), 'utf8')).version)

describe('scripts/install.mjs', () => {
  it('installs on a fresh clone, again after a dependency changed, and otherwise does nothing', () => {
    pull({ one: '1.0.0' })
    assert.match(install(), /^punctual: no node_modules here yet/)
    assert.deepEqual(installed('one'), ['1.0.0'])
    assert.equal(install(), '')
    pull({ one: '1.0.0', two: '1.0.0' })
    assert.match(install(), /^punctual: node_modules is not what package-lock\.json names; installing/)
    assert.deepEqual(installed('one', 'two'), ['1.0.0', '1.0.0'])
    pull({ one: '2.0.0', two: '1.0.0' })
    install()
    assert.deepEqual(installed('one', 'two'), ['2.0.0', '1.0.0'])
    assert.equal(install(), '')
  })
})
