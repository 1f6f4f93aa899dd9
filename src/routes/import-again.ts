import { AsyncLocalStorage } from 'node:async_hooks'
import module, { type ResolveFnOutput, type ResolveHookContext } from 'node:module'
import { ImportGraph } from './import-graph.ts'
import { failedModule } from './kept-error.ts'

/**
 * Node keeps the error of an ES module that threw while it was evaluated, and gives it to everybody who imports that module again, or one that
 * imports it. To try again is to load those modules under another URL. (A file that was missing, or not valid, is read again by Node itself, and
 * CommonJS is evaluated again.) So this watches who imports whom while deferred modules load; after a failure the module that threw, and those that
 * led to it, get `?punctual-attempt=n`. Modules that were evaluated well stay what they are, so that there is one pool and not two.
 */
const graph = new ImportGraph()
/** What each module imports, in its own order; without what CommonJS requires, of which Node keeps no error. */
const imports = new Map<string, Set<string>>()
/** By URL as Node resolves it: how often the module has failed. */
const failures = new Map<string, number>()
/** Modules that were first seen while something was loaded that failed, or is not loaded yet. Only these can have an error that Node keeps. */
const unsettled = new Set<string>()
let loading = 0
let hooks: { deregister(): void } | null = null

/** What one call of `load` has imported so far: by URL, and at which attempt. */
class Load {
  readonly modules: Map<string, number> = new Map()
  /** Those of them that no other of them imports. */
  readonly roots: Set<string> = new Set()
}

const loads = new AsyncLocalStorage<Load>()

/** Calls `load`, such that a later call can try again what this one failed to evaluate. */
export async function importAgain<T>(load: () => PromiseLike<T> | T): Promise<T> {
  loading++
  hooks ??= module.registerHooks({ resolve: (specifier, context, next) => resolved(next(specifier, context), context) })
  const mine = new Load()
  try {
    const loaded = await loads.run(mine, load)
    if (loading === 1 && failures.size === 0) unsettled.clear()
    return loaded
  } catch (error) {
    await noteFailure(error, mine)
    throw error
  } finally {
    loading--
    // What has failed once keeps its new name for whoever imports it later.
    if (loading === 0 && failures.size === 0) {
      hooks.deregister()
      hooks = null
    }
  }
}

function resolved(found: ResolveFnOutput, context: ResolveHookContext): ResolveFnOutput {
  const { url } = found
  // What this file imports has its attempt in its name.
  if (!url.startsWith('file:') || context.parentURL === import.meta.url) return found
  const attempt = attemptAt(url)
  const load = loads.getStore()
  if (load !== undefined) noteImport(load, url, attempt, context)
  return { ...found, url: nameOf(url, attempt) }
}

function noteImport(load: Load, url: string, attempt: number, { parentURL, conditions }: ResolveHookContext): void {
  const importer = parentURL === undefined ? undefined : withoutAttempt(parentURL)
  if (!graph.has(url)) unsettled.add(url)
  graph.add(url, importer)
  if (importer === undefined || !load.modules.has(importer)) load.roots.add(url)
  load.modules.set(url, attempt)
  if (importer === undefined || conditions.includes('require')) return
  const others = imports.get(importer) ?? new Set()
  imports.set(importer, others.add(url))
}

/** The attempt that is next, or that has not failed. */
function attemptAt(url: string): number {
  return (failures.get(url) ?? 0) + 1
}

function nameOf(url: string, attempt: number): string {
  return attempt === 1 ? url : `${url}${url.includes('?') ? '&' : '?'}punctual-attempt=${attempt}`
}

function withoutAttempt(url: string): string {
  return url.replace(/[?&]punctual-attempt=\d+/, '')
}

/** With the module that threw all have failed that import it, but those that have called `import()` for it. */
async function noteFailure(error: unknown, { modules, roots }: Load): Promise<void> {
  const attemptOf = (url: string): number => modules.get(url) ?? attemptAt(url)
  const failed = await failedModule(error, roots, {
    ask: (url) => import(nameOf(url, attemptOf(url))),
    importsOf: (url) => [...(imports.get(url) ?? [])].filter((imported) => unsettled.has(imported)),
  })
  // Another load may have failed with it, and noted it.
  if (failed === undefined || attemptOf(failed.thrower) < attemptAt(failed.thrower)) return
  const others = (url: string): boolean => unsettled.has(url) && !failed.sound.has(url)
  for (const url of graph.withImporters(failed.thrower, others)) failures.set(url, attemptAt(url))
}
