import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as graphile from 'graphile-worker'
import type { GraphileRunner, RunOptions } from './graphile-module.ts'
import { loadGraphileWorker } from './graphile-module.ts'

test('graphile-worker is loaded from the app, and rejected if it is missing or too old', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-load-'))
  try {
    // The compiler checks the options; pool and logger have structural types.
    const run: (options: Omit<RunOptions, 'pgPool' | 'logger'>) => Promise<GraphileRunner> = graphile.run
    assert.equal((await loadGraphileWorker([directory, import.meta.dirname])).run, run)
    await assert.rejects(loadGraphileWorker([directory]), {
      code: 'PUNCTUAL_USAGE',
      details: { reason: 'not-installed', directory },
    })
    for (const version of ['0.16.6', undefined]) {
      const path = install(directory, version)
      await assert.rejects(loadGraphileWorker([directory, import.meta.dirname]), {
        code: 'PUNCTUAL_USAGE',
        details: { reason: 'too-old', version: version ?? null, path },
      })
    }
    for (const version of ['0.18.0-beta.1', '0.19.2', '1.0.0']) {
      install(directory, version)
      assert.equal(typeof (await loadGraphileWorker([directory])).run, 'function')
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

/** Installs another version with the same exports. Returns the path of its main module. */
function install(directory: string, version: string | undefined): string {
  const other = join(directory, 'node_modules/graphile-worker')
  mkdirSync(join(other, 'dist'), { recursive: true })
  const manifest = { name: 'graphile-worker', version, main: 'dist/index.js', type: 'module' }
  writeFileSync(join(other, 'package.json'), JSON.stringify(manifest))
  const path = join(other, 'dist/index.js')
  writeFileSync(path, 'export const [run, runMigrations, Logger] = [() => {}, () => {}, class {}]')
  return realpathSync(path)
}
