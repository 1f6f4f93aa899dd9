import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { loadConfigFile } from './config-file.ts'
import { type SettingFault, SettingsError } from './settings-error.ts'

let cwd: string

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'punctual-config-'))
})

afterEach(() => {
  rmSync(cwd, { recursive: true })
})

function write(name: string, text: string): void {
  writeFileSync(join(cwd, name), text)
}

async function refusalOf(named?: string): Promise<SettingFault> {
  try {
    await loadConfigFile({ cwd, named, timeout: ms(2_000) })
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    assert.equal(error.message.split('\n').length, 1)
    const [fault] = error.details.faults
    assert.ok(fault !== undefined)
    return fault
  }
  assert.fail('accepted')
}

describe('loadConfigFile', () => {
  it('a missing config file is allowed', async () => {
    assert.equal(await loadConfigFile({ cwd }), undefined)
  })

  for (const extension of ['ts', 'mts', 'js', 'mjs', 'json']) {
    it(`punctual.config.${extension} is found in the working directory`, async () => {
      write('package.json', '{ "type": "module" }')
      const json = extension === 'json'
      const typed = extension.endsWith('ts') ? ' satisfies object' : ''
      write(`punctual.config.${extension}`, json ? '{ "workers": 3 }' : `export default { workers: 3 }${typed}`)
      assert.deepEqual(await loadConfigFile({ cwd }), {
        path: join(cwd, `punctual.config.${extension}`),
        name: `punctual.config.${extension}`,
        values: { workers: 3 },
      })
    })
  }

  it('a file named by --config replaces the default one', async () => {
    write('punctual.config.json', '{ "workers": 3 }')
    mkdirSync(join(cwd, 'deploy'))
    write('deploy/small.json', '{ "workers": 1 }')
    const file = await loadConfigFile({ cwd, named: 'deploy/small.json' })
    assert.deepEqual(file?.values, { workers: 1 })
    assert.equal(file?.name, 'deploy/small.json')
  })

  it('a missing file named by --config is reported by name', async () => {
    const { kind, source } = await refusalOf('gone.ts')
    assert.deepEqual([kind, source], ['file-missing', '--config gone.ts'])
  })

  it('two config files are ambiguous and refused', async () => {
    write('punctual.config.mjs', 'export default {}')
    write('punctual.config.json', '{}')
    const { kind, source } = await refusalOf()
    assert.deepEqual([kind, source], ['file-ambiguous', 'punctual.config.mjs, punctual.config.json'])
  })

  it('a syntax error is reported with the file and its line', async () => {
    write('punctual.config.ts', 'export default {\n  workers: 2\n')
    const { kind, source, what } = await refusalOf()
    assert.deepEqual([kind, source], ['file-failed', 'punctual.config.ts'])
    assert.match(what, /SyntaxError: .*\(line [23]\)/)
  })

  it('invalid JSON is reported with the file', async () => {
    write('punctual.config.json', '{ "workers": }')
    const { kind, source, what } = await refusalOf()
    assert.deepEqual([kind, source], ['file-failed', 'punctual.config.json'])
    assert.match(what, /SyntaxError: /)
  })

  it('an error that the file throws is reported by its first line', async () => {
    write('punctual.config.mjs', '\nthrow new Error("no database\\nsecond line")')
    const { kind, what } = await refusalOf()
    assert.equal(kind, 'file-failed')
    assert.match(what, /Error: no database \(line 2\)$/)
  })

  it('an ES module in a CommonJS package gets a new file name suggested', async () => {
    write('package.json', '{ "type": "commonjs" }')
    write('punctual.config.ts', 'export default { workers: 2 }')
    const { kind, suggestion } = await refusalOf()
    assert.deepEqual([kind, suggestion], ['file-failed', 'punctual.config.mts'])
  })

  it('a missing module is reported by name', async () => {
    write('punctual.config.mjs', 'import "nowhere-to-be-found"\nexport default {}')
    const { kind, what } = await refusalOf()
    assert.equal(kind, 'file-failed')
    assert.ok(what.includes("'nowhere-to-be-found'"), what)
  })

  it('a file that exports no object of settings is refused', async () => {
    write('one.mjs', 'export const workers = 2')
    write('two.mjs', 'export default 5')
    write('three.json', '[]')
    for (const name of ['one.mjs', 'two.mjs', 'three.json']) {
      const { kind, source } = await refusalOf(name)
      assert.deepEqual([kind, source], ['file-without-settings', name])
    }
  })

  it('a file that never finishes loading times out', async () => {
    write('punctual.config.mjs', 'await new Promise(() => {})')
    assert.equal((await refusalOf()).kind, 'file-timed-out')
  })
})
