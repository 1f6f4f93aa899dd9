import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { importChain } from './import-chain.ts'

const root = mkdtempSync(join(tmpdir(), 'punctual-chain-'))
after(() => rmSync(root, { recursive: true }))
for (const [name, text] of Object.entries({
  'app.ts': `import type { A } from './types.ts'\nimport { routes } from './routes/index.js'\nimport './side.ts'\n`,
  'types.ts': 'export type A = 1\n',
  'side.ts': `import * as all from "./routes/deep.ts"\n`,
  'routes/index.ts': `export { one,\n  two } from './deep.ts'\nconst later = () => import('./later.mjs')\n`,
  'routes/deep.ts': `import {\n  Pool,\n} from 'pg'\n`,
  'routes/later.mjs': `const old = require('../old')\n`,
  'old/index.js': 'module.exports = 1\n',
  'node_modules/pg/lib/index.js': '',
  'unrelated.ts': '',
})) {
  mkdirSync(dirname(join(root, name)), { recursive: true })
  writeFileSync(join(root, name), text)
}
const chainOf = async (target: string): Promise<readonly string[]> =>
  (await importChain(join(root, 'app.ts'), join(root, target))).map((file) => file.slice(root.length + 1))

describe('the chain of imports', () => {
  it('is the shortest from a module to the entry', async () => {
    assert.deepEqual(await chainOf('routes/deep.ts'), ['routes/deep.ts', 'routes/index.ts', 'app.ts'])
    assert.deepEqual(await chainOf('app.ts'), ['app.ts'])
  })
  it('follows dynamic imports, require and directories', async () => {
    assert.deepEqual(await chainOf('old/index.js'), ['old/index.js', 'routes/later.mjs', 'routes/index.ts', 'app.ts'])
  })
  it('starts at the importer for a file of a package', async () => {
    assert.deepEqual(await chainOf('node_modules/pg/lib/index.js'), [
      'node_modules/pg/lib/index.js',
      'routes/deep.ts',
      'routes/index.ts',
      'app.ts',
    ])
  })
  it('is empty if nothing imports the file', async () => {
    assert.deepEqual(await chainOf('unrelated.ts'), [])
    assert.deepEqual(await importChain('/no/such/entry.ts', '/no/such/module.ts'), [])
  })
})
