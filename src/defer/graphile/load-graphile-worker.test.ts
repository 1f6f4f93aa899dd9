import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import * as graphile from 'graphile-worker'
import type { GraphileRunner, RunOptions } from './graphile-shapes.ts'
import { loadGraphileWorker } from './load-graphile-worker.ts'

test('graphile-worker is found where the app is; where it is missing, or another, it is said what to install', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-load-'))
  try {
    // The compiler sees whether the options are those it knows; pool and logger are seen through shapes of our own.
    const run: (options: Omit<RunOptions, 'pgPool' | 'logger'>) => Promise<GraphileRunner> = graphile.run
    assert.equal((await loadGraphileWorker([directory, import.meta.dirname])).run, run)
    await assert.rejects(
      loadGraphileWorker([directory]),
      /not installed where the app is .*npm install graphile-worker/,
    )
    const other = join(directory, 'node_modules/graphile-worker')
    mkdirSync(other, { recursive: true })
    writeFileSync(join(other, 'package.json'), '{ "name": "graphile-worker", "main": "index.js", "type": "module" }')
    writeFileSync(join(other, 'index.js'), 'export const run = () => {}')
    await assert.rejects(loadGraphileWorker([directory, import.meta.dirname]), /install version 0\.18 or later/)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
