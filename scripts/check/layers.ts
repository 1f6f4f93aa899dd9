import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { findCycles } from './cycles.ts'
import { importsOf } from './imports.ts'
import { rawTimersOf } from './raw-timers.ts'
import { type Token, tokenize } from './tokens.ts'

/**
 * The modules of `src`, the lowest layer first. A module imports from lower layers, and from its
 * own with `neighbours`.
 */
const LAYERS: readonly { readonly modules: readonly string[]; readonly neighbours: boolean }[] = [
  { modules: ['resilience', 'errors', 'system', 'redaction'], neighbours: true },
  { modules: ['settings', 'diagnostics', 'ipc', 'runtime'], neighbours: true },
  { modules: ['database', 'query-insight'], neighbours: true },
  { modules: ['http', 'postgres', 'sqlite', 'batch', 'cache', 'queue', 'routes'], neighbours: false },
  { modules: ['patches'], neighbours: true },
  { modules: ['watchdog', 'worker', 'arbiter', 'release'], neighbours: true },
  { modules: ['adapters', 'cli', 'define-config', 'index', 'testing'], neighbours: true },
]

/**
 * Modules that may import less than their layer: the arbiter loads nothing of the app's process.
 */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  arbiter: ['resilience', 'errors', 'system', 'redaction', 'settings', 'diagnostics', 'ipc', 'release', 'patches'],
}

/** The one module that may touch the platform's timers and clocks. */
const TIMER_MODULE = 'resilience'

interface SourceFile {
  /** Relative to `src`, with forward slashes. */
  readonly path: string
  readonly module: string
  readonly tokens: readonly Token[]
}

/**
 * Every violation of the layering rules under `<root>/src`, as a line with place and reason. Tests
 * may import anything.
 */
export function checkLayers(root: string): readonly string[] {
  const source = join(root, 'src')
  const files = globSync('**/*.ts', { cwd: source })
    .filter((path) => !path.endsWith('.test.ts'))
    .toSorted()
    .map((path): SourceFile => {
      const module = path.includes('/') ? path.slice(0, path.indexOf('/')) : path.replace(/\.ts$/, '')
      return { path, module, tokens: tokenize(readFileSync(join(source, path), 'utf8')) }
    })
  const known = new Map(files.map((file) => [file.path, file]))
  const faults: string[] = []
  const modules = new Set(files.map(({ module }) => module))
  for (const name of [...LAYERS.flatMap((layer) => layer.modules), ...Object.keys(ONLY)]) {
    if (!modules.has(name))
      faults.push(`scripts/check/layers.ts: the layers name "${name}", and src has no such module`)
  }
  const fileGraph = new Map<string, Set<string>>()
  const moduleGraph = new Map<string, Set<string>>()
  for (const file of files) {
    if (layerOf(file.module) === -1)
      faults.push(`src/${file.path}: the module "${file.module}" is not on the map of layers`)
    const imported = new Set<string>()
    fileGraph.set(file.path, imported)
    for (const { specifier, line } of importsOf(file.tokens)) {
      if (!specifier.startsWith('.')) continue
      const path = relative(source, join(source, dirname(file.path), specifier))
      const target = known.get(path)
      const where = `src/${file.path}:${line}`
      if (target === undefined) {
        faults.push(`${where}: imports ${specifier}, which is no source file`)
        continue
      }
      imported.add(path)
      if (target.module !== file.module) entryOf(moduleGraph, file.module).add(target.module)
      const why = whyNot(file.module, target.module)
      if (why !== undefined) faults.push(`${where}: ${file.module} must not import ${target.module} (${why})`)
    }
    if (file.module === TIMER_MODULE) continue
    for (const { what, line } of rawTimersOf(file.tokens)) {
      faults.push(`src/${file.path}:${line}: ${what} outside src/${TIMER_MODULE}; use its clock and timers`)
    }
  }
  for (const cycle of findCycles(fileGraph)) faults.push(`cycle of files: ${cycle.join(' -> ')}`)
  for (const cycle of findCycles(moduleGraph)) faults.push(`cycle of modules: ${cycle.join(' -> ')}`)
  return faults
}

function layerOf(module: string): number {
  return LAYERS.findIndex(({ modules }) => modules.includes(module))
}

function whyNot(from: string, to: string): string | undefined {
  if (from === to) return undefined
  const [layer, target] = [layerOf(from), layerOf(to)]
  if (target > layer) return `layer ${layer} below layer ${target}`
  if (target === layer && LAYERS[layer]?.neighbours === false) return `neighbours in layer ${layer}`
  const only = ONLY[from]
  return only === undefined || only.includes(to) ? undefined : `it may only import ${only.join(', ')}`
}

function entryOf(graph: Map<string, Set<string>>, node: string): Set<string> {
  const entry = graph.get(node) ?? new Set<string>()
  graph.set(node, entry)
  return entry
}
