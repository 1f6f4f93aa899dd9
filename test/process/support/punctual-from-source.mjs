// Resolves `punctual` and its sub-paths to the TypeScript sources instead of dist, which a test does
// not build.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

const root = new URL('../../../', import.meta.url)
const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))

registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier !== 'punctual' && !specifier.startsWith('punctual/')) return nextResolve(specifier, context)
    const target = exports[`.${specifier.slice('punctual'.length)}`]?.default
    if (target === undefined) throw new Error(`package.json exports no ${specifier}`)
    return nextResolve(new URL(target.replace('./dist/', './src/').replace(/\.js$/, '.ts'), root).href, context)
  },
})
