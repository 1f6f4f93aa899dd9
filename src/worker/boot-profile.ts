import Module, { type LoadFnOutput } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { BootReport } from '../diagnostics/modules/boot-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { ProcessGlobal } from '../system/process-global.ts'
import { bootProfile, ImportProfile, tellProfile, worstImports } from './import-costs.ts'
import { watchDeeds } from './import-side-effects.ts'

/** What was measured of a boot: as data, and as lines for the log. */
export interface MeasuredBoot {
  readonly report: BootReport
  readonly lines: readonly string[]
}

/**
 * Measures every import of this process from now on. Loaded only where it is asked for: it wraps what modules are loaded with and much of what they may call.
 *
 * @returns ends it; given how long the boot took, in milliseconds
 */
export function profileBoot(): (bootMs: number) => MeasuredBoot {
  const ledger = new ImportProfile()
  const stopImports = watchImports(ledger)
  const stopDeeds = watchDeeds(ledger)
  return (bootMs) => {
    stopDeeds()
    stopImports()
    const profile = bootProfile(ledger, process.cwd())
    return {
      report: { bootMs, worst: worstImports(ledger, process.cwd()), profile },
      lines: tellProfile(profile),
    }
  }
}

/** Where the modules under measurement find their list of waits. */
const imports = new ProcessGlobal<ImportProfile>('imports')
const ESM = new Set(['module', 'module-typescript'])

/** CommonJS has its own way to be loaded, which Node keeps on its prototype for tools to wrap. */
const commonJs = Module.prototype as unknown as { load(filename: string): unknown }

/**
 * Writes into the list of waits whatever is imported from now on. CommonJS is measured around Node's own loading of it. An ES module is evaluated where nothing of
 * ours is on the stack, so a call is put in front of its first line and one behind its last: lines stay what they are, the columns of the first move.
 *
 * @returns stops it
 */
function watchImports(ledger: ImportProfile): () => void {
  imports.set(ledger)
  const hooks = Module.registerHooks({
    resolve: (specifier, context, next) => {
      const found = next(specifier, context)
      ledger.graph.add(found.url, context.parentURL)
      return found
    },
    load: (url, context, next) => {
      const before = monotonicNow()
      const loaded = next(url, context)
      if (!url.startsWith('file:')) return loaded
      ledger.entryOf(url).readMs += monotonicNow() - before
      return ESM.has(loaded.format ?? '') ? measured(url, loaded) : loaded
    },
  })
  const { load } = commonJs
  commonJs.load = function (this: unknown, filename: string): unknown {
    const { href } = pathToFileURL(filename)
    ledger.enter(href)
    try {
      return load.call(this, filename)
    } finally {
      ledger.leave(href)
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
  // A first line that begins with #! must stay the first.
  const [hashbang = ''] = /^#!.*\n?/.exec(text) ?? []
  return { ...loaded, source: `${hashbang}${enter}${text.slice(hashbang.length)}\n;${leave}` }
}
