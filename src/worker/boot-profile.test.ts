import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImportCost } from '../diagnostics/boot-report.ts'
import { formatProfile } from './boot-profile.ts'

const cost = (module: string, given: Partial<ImportCost>): ImportCost => ({
  module,
  selfMs: 1,
  totalMs: 1,
  memoryBytes: 0,
  sideEffects: [],
  imports: [],
  ...given,
})

test('a profile is a table with a line for each import below its importer; cheap imports are counted', () => {
  const cheap = cost('cheap.mjs', { imports: [cost('cheaper.mjs', {})] })
  const routes = cost('routes.mjs', {
    totalMs: 1_200,
    selfMs: 200,
    memoryBytes: 2 * 1024 * 1024,
    sideEffects: ['readFileSync routes.mjs', '2 × new Pool'],
    imports: [cost('heavy.mjs', { totalMs: 1_000, selfMs: 1_000 }), cheap],
  })
  const app = cost('app.mjs', { totalMs: 1_210, selfMs: 10, memoryBytes: 512 * 1024, imports: [routes] })
  assert.deepEqual(formatProfile({ modules: 9, evaluatedMs: 1_215, readMs: 12, tree: [app], leftOut: 4 }), [
    'boot profile: 9 modules, 1.2 s to evaluate and 12 ms to read them; total, self and memory of each:',
    '   1.2 s    10 ms    0.5 MiB  app.mjs',
    '   1.2 s   200 ms    2.0 MiB    routes.mjs  [readFileSync routes.mjs; 2 × new Pool]',
    '   1.0 s    1.0 s    0.0 MiB      heavy.mjs',
    'and 6 modules that take less',
  ])
})
