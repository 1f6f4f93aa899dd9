import module, { type ResolveFnOutput } from 'node:module'
import { pathToFileURL } from 'node:url'
import { ImportGraph } from './import-graph.ts'

/**
 * Node keeps the error of an ES module that threw while it was evaluated, and gives it to everybody who imports that module again, or one that
 * imports it. To try again is to load those modules under another URL. (A file that was missing, or not valid, is read again by Node itself, and
 * CommonJS is evaluated again.) So this watches who imports whom while deferred modules load; after a failure the module that threw, and those that
 * led to it, get `?punctual-attempt=n`. Modules that were evaluated well stay what they are, so that there is one pool and not two.
 */
const graph = new ImportGraph()
/** By URL as Node resolves it: how often the module has failed. */
const failures = new Map<string, number>()
/** Modules that were first seen while something was loaded that failed, or is not loaded yet. Only these can have an error that Node keeps. */
const unsettled = new Set<string>()
let loading = 0
let hooks: { deregister(): void } | null = null

/** Calls `load`, such that a later call can try again what this one failed to evaluate. */
export async function importAgain<T>(load: () => PromiseLike<T> | T): Promise<T> {
  loading++
  hooks ??= module.registerHooks({ resolve: (specifier, context, next) => resolved(next(specifier, context), context) })
  try {
    const loaded = await load()
    if (loading === 1 && failures.size === 0) unsettled.clear()
    return loaded
  } catch (error) {
    noteFailure(error)
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

function resolved(found: ResolveFnOutput, context: { readonly parentURL?: string | undefined }): ResolveFnOutput {
  const { url } = found
  if (!url.startsWith('file:')) return found
  if (!graph.has(url)) unsettled.add(url)
  graph.add(url, context.parentURL === undefined ? undefined : withoutAttempt(context.parentURL))
  const failed = failures.get(url)
  if (failed === undefined) return found
  return { ...found, url: `${url}${url.includes('?') ? '&' : '?'}punctual-attempt=${failed + 1}` }
}

function withoutAttempt(url: string): string {
  return url.replace(/[?&]punctual-attempt=\d+/, '')
}

/** The module that was being evaluated is the outermost of the stack that is known; all that import it have failed with it. */
function noteFailure(error: unknown): void {
  const thrower = modulesOf(error).findLast((url) => unsettled.has(url))
  if (thrower === undefined) return
  for (const url of graph.withImporters(thrower)) {
    // Who imports it and has not failed itself has called `import()`.
    if (unsettled.has(url)) failures.set(url, (failures.get(url) ?? 0) + 1)
  }
}

const FRAME = /^\s*at (?:.*\(|(?:async )?)((?:file:\/\/)?\/.*?):\d+:\d+\)?$/

/** The files of a stack, innermost first. */
function modulesOf(error: unknown): string[] {
  const stack = error instanceof Error ? String(error.stack ?? '') : ''
  return stack
    .split('\n')
    .flatMap((line) => FRAME.exec(line)?.[1] ?? [])
    .map((place) => withoutAttempt(place.startsWith('file:') ? place : pathToFileURL(place).href))
}
