// All checks that do not run the app: `npm run check`, or `npm run check -- layers docs` for some.
// Every step runs and reports its faults; the exit code is 1 if there are any. `--root <directory>`
// checks another copy of the repository.
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { checkLayers } from './check/layers.ts'
import { checkPackage } from './check/package-shape.ts'
import { checkProse } from './check/prose.ts'
import { runTool } from './check/tool.ts'
import { findDrift } from './docs/pages.ts'
import { findWrongDefaults } from './docs/stated-defaults.ts'

const { values, positionals } = parseArgs({ options: { root: { type: 'string' } }, allowPositionals: true })
const root = resolve(values.root ?? join(import.meta.dirname, '..'))

/** Each step returns its faults, one per line. */
const STEPS: Readonly<Record<string, () => readonly string[] | Promise<readonly string[]>>> = {
  types: () => runTool(root, 'tsc', ['-p', '.']),
  lint: () =>
    runTool(root, 'biome', [
      'ci',
      '--colors=off',
      '--max-diagnostics=100',
      '--diagnostic-level=info',
      '--error-on-warnings',
      '.',
    ]),
  layers: () => checkLayers(root),
  exports: () => runTool(root, 'knip', ['--no-progress']),
  docs: async () => [...(await findDrift(root)), ...(await findWrongDefaults(root))],
  prose: () => checkProse(root),
  package: () => checkPackage(root),
}

const unknown = positionals.filter((name) => !(name in STEPS))
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(', ')}; there are ${Object.keys(STEPS).join(', ')}`)
  process.exit(2)
}

for (const [name, step] of Object.entries(STEPS)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  const start = performance.now()
  const faults = await Promise.resolve()
    .then(step)
    .catch((error: unknown) => [error instanceof Error ? (error.stack ?? error.message) : String(error)])
  const took = `${((performance.now() - start) / 1_000).toFixed(1)} s`
  console.log(`${faults.length === 0 ? 'ok  ' : 'FAIL'} ${name.padEnd(8)} ${took}`)
  for (const fault of faults) console.log(`     ${fault.replaceAll('\n', '\n     ')}`)
  if (faults.length > 0) process.exitCode = 1
}
