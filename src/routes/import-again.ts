import { AsyncLocalStorage } from 'node:async_hooks'
import module, { type ResolveFnOutput, type ResolveHookContext } from 'node:module'
import { ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { ImportGraph } from './import-graph.ts'

/**
 * Node keeps the error of an ES module that threw while it was evaluated, and rejects every later
 * import of that module, or of one that imports it, with it. A retry has to load those modules
 * under another URL. (Node itself reads a missing or invalid file again, and evaluates CommonJS
 * again.) So imports are recorded while deferred modules load; after a failure the module that
 * threw, and those that led to it, get `?punctual-attempt=n`. Modules that were evaluated without
 * error keep their URL, so that there is one pool, not two.
 */
const graph = new ImportGraph()
/**
 * The imports of each module, in order; without those of CommonJS, whose errors Node does not keep.
 */
const imports = new Map<string, Set<string>>()
/** Number of failures by URL. */
const failures = new Map<string, number>()
/**
 * Modules first seen during a load that failed or is not finished. Only these can have an error
 * that Node keeps.
 */
const unsettled = new Set<string>()
let loading = 0
let hooks: { deregister(): void } | null = null

/** The imports of one call of `load` so far: the attempt by URL. */
class Load {
  readonly modules: Map<string, number> = new Map()
  /** Those that are not imported by another of them. */
  readonly roots: Set<string> = new Set()
}

const loads = new AsyncLocalStorage<Load>()

/**
 * The async context in which this file was loaded. A module serves all requests: timers and
 * connections that it starts while it loads must not belong to the request that came first, nor end
 * with it.
 */
const runOutsideRequests = AsyncLocalStorage.snapshot() as <T>(job: () => T) => T

/**
 * Calls `load` outside of requests, so that a later call evaluates again what failed in this one.
 */
export async function importAgain<T>(load: () => PromiseLike<T> | T): Promise<T> {
  loading++
  hooks ??= module.registerHooks({ resolve: (specifier, context, next) => resolved(next(specifier, context), context) })
  const mine = new Load()
  try {
    const loaded = await runOutsideRequests(() => loads.run(mine, load))
    if (loading === 1 && failures.size === 0) unsettled.clear()
    return loaded
  } catch (error) {
    await recordFailure(error, mine)
    throw error
  } finally {
    loading--
    // A module that has failed keeps its new URL for later imports.
    if (loading === 0 && failures.size === 0) {
      hooks.deregister()
      hooks = null
    }
  }
}

function resolved(found: ResolveFnOutput, context: ResolveHookContext): ResolveFnOutput {
  const { url } = found
  // Imports by this file name their attempt.
  if (!url.startsWith('file:') || context.parentURL === import.meta.url) return found
  const attempt = nextAttemptAt(url)
  const load = loads.getStore()
  if (load !== undefined) recordImport(load, url, attempt, context)
  return { ...found, url: withAttempt(url, attempt) }
}

function recordImport(load: Load, url: string, attempt: number, { parentURL, conditions }: ResolveHookContext): void {
  const importer = parentURL === undefined ? undefined : withoutAttempt(parentURL)
  if (!graph.has(url)) unsettled.add(url)
  graph.add(url, importer)
  if (importer === undefined || !load.modules.has(importer)) load.roots.add(url)
  load.modules.set(url, attempt)
  if (importer === undefined || conditions.includes('require')) return
  const others = imports.get(importer) ?? new Set()
  imports.set(importer, others.add(url))
}

function nextAttemptAt(url: string): number {
  return (failures.get(url) ?? 0) + 1
}

function withAttempt(url: string, attempt: number): string {
  return attempt === 1 ? url : `${url}${url.includes('?') ? '&' : '?'}punctual-attempt=${attempt}`
}

function withoutAttempt(url: string): string {
  return url.replace(/[?&]punctual-attempt=\d+/, '')
}

/**
 * With the module that threw, all have failed that import it, except those that called `import()`
 * for it.
 */
async function recordFailure(error: unknown, { modules, roots }: Load): Promise<void> {
  const attemptOf = (url: string): number => modules.get(url) ?? nextAttemptAt(url)
  const failed = await findThrower(error, roots, {
    load: (url) => import(withAttempt(url, attemptOf(url))),
    importsOf: (url) => [...(imports.get(url) ?? [])].filter((imported) => unsettled.has(imported)),
  })
  // Another load may have failed with the same module, and recorded it.
  if (failed === undefined || attemptOf(failed.thrower) < nextAttemptAt(failed.thrower)) return
  const others = (url: string): boolean => unsettled.has(url) && !failed.sound.has(url)
  for (const url of graph.withImporters(failed.thrower, others)) failures.set(url, nextAttemptAt(url))
}

/**
 * Node responds at once for a module whose result it keeps; one that takes longer is waiting at its
 * top level.
 */
const RESPONSE_TIMEOUT = ms(100)

interface KnownModules {
  /** Imports the module under the URL of the load that failed. */
  load(url: string): Promise<unknown>
  /** Its imports, in order. */
  importsOf(url: string): Iterable<string>
}

interface FailedModule {
  /** The module that threw while it was evaluated. */
  readonly thrower: string
  /** Modules that were evaluated without error; they may have called `import()` for it. */
  readonly sound: ReadonlySet<string>
}

/**
 * Finds the module that threw by importing again: Node rejects with the very error that it keeps. A
 * stack does not tell: that of a refused connection names no module, and that of a plugin names one
 * that was evaluated without error.
 *
 * Modules are imported in their original order, and no further than needed: a module after the one
 * that threw may not have been evaluated, and importing it would do so.
 *
 * @param error the error of the load; its causes count, too
 * @param roots where to start
 * @returns undefined if no module threw it
 */
async function findThrower(
  error: unknown,
  roots: Iterable<string>,
  known: KnownModules,
): Promise<FailedModule | undefined> {
  const errors = withCauses(error)
  const visited = new Set<string>()
  const sound = new Set<string>()
  const search = async (modules: Iterable<string>): Promise<string | undefined> => {
    for (const url of modules) {
      if (visited.has(url)) continue
      visited.add(url)
      const result = await resultOf(known.load(url), errors)
      if (result === 'other') continue
      if (result === 'sound') sound.add(url)
      const inner = await search(known.importsOf(url))
      if (inner !== undefined || result === 'threw') return inner ?? url
    }
    return undefined
  }
  const thrower = await search(roots)
  return thrower === undefined ? undefined : { thrower, sound }
}

/** `other`: it rejected with another error, or is not evaluated yet. */
function resultOf(loaded: Promise<unknown>, errors: ReadonlySet<unknown>): Promise<'sound' | 'threw' | 'other'> {
  return promiseAtMost<'sound' | 'threw' | 'other', 'other'>(
    RESPONSE_TIMEOUT,
    (resolve) => {
      loaded.then(
        () => resolve('sound'),
        (error: unknown) => resolve(errors.has(error) ? 'threw' : 'other'),
      )
    },
    () => 'other',
  )
}

function withCauses(error: unknown): ReadonlySet<unknown> {
  const errors = new Set<unknown>()
  for (let one = error; one !== undefined && !errors.has(one); one = one instanceof Error ? one.cause : undefined) {
    errors.add(one)
  }
  return errors
}
