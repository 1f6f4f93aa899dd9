// Preloaded with `--import` for tests on Node 22, which cannot parse `await using`: it compiles
// files that use it.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'

registerHooks({
  load(url, context, next) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context)
    const source = readFileSync(fileURLToPath(url), 'utf8')
    if (!/\busing \w+ =/.test(source)) return next(url, context)
    const { code } = transformSync(source, { loader: 'ts', target: 'node22', sourcemap: 'inline', sourcefile: url })
    return { format: 'module', source: code, shortCircuit: true }
  },
})
