import { registerHooks } from 'node:module'

// Resolves `punctual` and its sub-paths to the sources, which need no build.
const SOURCES = new URL('../../../src/', import.meta.url)

registerHooks({
  resolve(specifier, context, next) {
    const [, path = ''] = /^punctual(?:\/(.+))?$/.exec(specifier) ?? []
    if (!specifier.startsWith('punctual')) return next(specifier, context)
    const file = path === '' ? 'index.ts' : path === 'testing' ? 'testing.ts' : `${path}/index.ts`
    return next(new URL(file, SOURCES).href, context)
  },
})
