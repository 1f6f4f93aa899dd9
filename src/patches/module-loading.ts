/**
 * Patch of `Module.prototype.load`, and hooks of `module.registerHooks`, only with `--boot-profile`
 * and only until the worker is ready.
 *
 * Why: a boot profile shows what each import cost, and Node measures the boot as a whole only.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/module-loading.test.ts
 */
import Module, { type LoadFnOutput } from 'node:module'
import { pathToFileURL } from 'node:url'
import { monotonicNow } from '../resilience/clock.ts'
import { ProcessGlobal } from '../system/process-global.ts'

/** Receives what is imported. Modules are identified by URL. */
export interface ModuleLoadingObserver {
  readonly graph: { add(module: string, importer: string | undefined): void }
  entryOf(url: string): { readMs: number }
  /** The evaluation of a module starts. */
  enter(url: string): void
  leave(url: string): void
}

/** Measured modules find their observer here. */
const imports = new ProcessGlobal<ModuleLoadingObserver>('imports')
const ESM = new Set(['module', 'module-typescript'])

const commonJs = Module.prototype as unknown as { load(filename: string): unknown }

/**
 * Reports every import from now on. CommonJS is measured around Node's own `load`. Nothing of ours
 * is on the stack while an ES module is evaluated, so a call is put before its first line and one
 * after its last: line numbers stay, columns of the first line move.
 *
 * @returns removes the patches
 */
export function observeModuleLoading(observer: ModuleLoadingObserver): () => void {
  imports.set(observer)
  const hooks = Module.registerHooks({
    resolve: (specifier, context, next) => {
      const found = next(specifier, context)
      observer.graph.add(found.url, context.parentURL)
      return found
    },
    load: (url, context, next) => {
      const before = monotonicNow()
      const loaded = next(url, context)
      if (!url.startsWith('file:')) return loaded
      observer.entryOf(url).readMs += monotonicNow() - before
      return ESM.has(loaded.format ?? '') ? measured(url, loaded) : loaded
    },
  })
  const { load } = commonJs
  commonJs.load = function (this: unknown, filename: string): unknown {
    const { href } = pathToFileURL(filename)
    observer.enter(href)
    try {
      return load.call(this, filename)
    } finally {
      observer.leave(href)
    }
  }
  return () => {
    hooks.deregister()
    commonJs.load = load
  }
}

function measured(url: string, loaded: LoadFnOutput): LoadFnOutput {
  const { source } = loaded
  if (source === undefined || source === null) return loaded
  const text = typeof source === 'string' ? source : Buffer.from(source as Uint8Array).toString('utf8')
  const [enter, leave] = ['enter', 'leave'].map((call) => `${imports.expression}?.${call}(${JSON.stringify(url)});`)
  // A hashbang must stay the first line.
  const [hashbang = ''] = /^#!.*\n?/.exec(text) ?? []
  return { ...loaded, source: `${hashbang}${enter}${text.slice(hashbang.length)}\n;${leave}` }
}
