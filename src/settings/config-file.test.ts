import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ms } from '../wait/duration.ts'
import { loadConfigFile } from './config-file.ts'
import { SettingsError } from './settings-error.ts'

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

async function refusalOf(named?: string): Promise<string> {
  try {
    await loadConfigFile({ cwd, named, limit: ms(2_000) })
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    assert.equal(error.message.split('\n').length, 1)
    return error.message
  }
  assert.fail('accepted')
}

describe('loadConfigFile', () => {
  it('no config file is no fault', async () => {
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

  it('a named file is taken instead of the one that would be found', async () => {
    write('punctual.config.json', '{ "workers": 3 }')
    mkdirSync(join(cwd, 'deploy'))
    write('deploy/small.json', '{ "workers": 1 }')
    const file = await loadConfigFile({ cwd, named: 'deploy/small.json' })
    assert.deepEqual(file?.values, { workers: 1 })
    assert.equal(file?.name, 'deploy/small.json')
  })

  it('a named file that is missing is a fault that names it', async () => {
    assert.match(await refusalOf('gone.ts'), /^--config gone\.ts: there is no file .*gone\.ts/)
  })

  it('two config files are a fault: nobody could say which applies', async () => {
    write('punctual.config.mjs', 'export default {}')
    write('punctual.config.json', '{}')
    assert.match(await refusalOf(), /^punctual\.config\.mjs, punctual\.config\.json: only one/)
  })

  it('a syntax error is told with the file and its line', async () => {
    write('punctual.config.ts', 'export default {\n  workers: 2\n')
    assert.match(await refusalOf(), /^punctual\.config\.ts: it cannot be loaded: SyntaxError: .*\(line [23]\)/)
  })

  it('broken JSON is told with the file', async () => {
    write('punctual.config.json', '{ "workers": }')
    assert.match(await refusalOf(), /^punctual\.config\.json: it cannot be read: SyntaxError: /)
  })

  it('an error it throws is told with its first line', async () => {
    write('punctual.config.mjs', '\nthrow new Error("no database\\nsecond line")')
    assert.match(await refusalOf(), /^punctual\.config\.mjs: it cannot be loaded: Error: no database \(line 2\)/)
  })

  it('a module in a package of CommonJS is told what to be named', async () => {
    write('package.json', '{ "type": "commonjs" }')
    write('punctual.config.ts', 'export default { workers: 2 }')
    assert.match(await refusalOf(), /name it punctual\.config\.mts, or set "type": "module" in package\.json$/)
  })

  it('a module that is missing is told', async () => {
    write('punctual.config.mjs', 'import "nowhere-to-be-found"\nexport default {}')
    assert.match(await refusalOf(), /Cannot find package 'nowhere-to-be-found'/)
  })

  it('a file without a default export, or with another value, says what to write', async () => {
    write('one.mjs', 'export const workers = 2')
    assert.match(await refusalOf('one.mjs'), /no default export; write export default \{ workers: 2 \}/)
    write('two.mjs', 'export default 5')
    assert.match(await refusalOf('two.mjs'), /not an object of settings/)
    write('three.json', '[]')
    assert.match(await refusalOf('three.json'), /not an object of settings; write \{ "workers": 2 \}/)
  })

  it('a file that never finishes loading is given up', async () => {
    write('punctual.config.mjs', 'await new Promise(() => {})')
    assert.match(await refusalOf(), /did not finish loading within 2\.0 s/)
  })
})
