import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BootProfile, BootReport, CostlyImport, ImportCost } from '../diagnostics/boot-report.ts'
import { observeImportSideEffects } from '../patches/import-side-effects.ts'
import { observeModuleLoading } from '../patches/module-loading.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { ImportGraph } from '../routes/import-graph.ts'

/** The profile of a boot: as data, and as lines for the log. */
export interface MeasuredBoot {
  readonly report: BootReport
  readonly lines: readonly string[]
}

/**
 * Measures every import of this process from now on. This module is loaded with `--boot-profile`
 * only, because the measurement patches the loading of modules and much of what they may call.
 *
 * @returns ends the measurement; its argument is how long the boot took, in milliseconds
 */
export function profileBoot(): (bootMs: number) => MeasuredBoot {
  const imports = new ImportProfile()
  const stopImports = observeModuleLoading(imports)
  const stopSideEffects = observeImportSideEffects(imports)
  return (bootMs) => {
    stopSideEffects()
    stopImports()
    const profile = bootProfile(imports, process.cwd())
    return {
      report: { bootMs, worst: worstImports(imports, process.cwd()), profile },
      lines: formatProfile(profile),
    }
  }
}

/** Modules in the tree of a profile. */
const MAX_MODULES = 200
/** Modules in the list of the most expensive imports. */
const MAX_WORST = 3
/** Side effects recorded for a module. */
const MAX_SIDE_EFFECTS = 20
/** The log shows a module that takes at least this share of the whole; `/status` has more. */
const MIN_LOGGED_SHARE = 0.01

/** Punctual's own modules are left out. */
const OWN = new URL('..', import.meta.url).href

interface Branch {
  readonly entry: ModuleEntry
  readonly children: Branch[]
  totalMs: number
}

/**
 * The tree of imports, the most expensive first. Each module is below the one that imported it
 * first.
 */
function bootProfile(imports: ImportProfile, cwd: string): BootProfile {
  const branches = new Map<string, Branch>()
  for (const entry of imports.entries.values()) {
    if (!entry.url.startsWith(OWN)) branches.set(entry.url, { entry, children: [], totalMs: 0 })
  }
  const roots: Branch[] = []
  for (const branch of branches.values()) {
    const [, importer] = imports.graph.chain(branch.entry.url, 2)
    const around = importer === undefined ? undefined : branches.get(importer)
    if (around === undefined) roots.push(branch)
    else around.children.push(branch)
  }
  for (const root of roots) addUp(root)
  const kept = new Set(costliest([...branches.values()], ({ totalMs }) => totalMs).slice(0, MAX_MODULES))
  const all = [...branches.values()]
  return {
    modules: branches.size,
    evaluatedMs: round(all.reduce((sum, { entry }) => sum + entry.selfMs, 0)),
    readMs: round(all.reduce((sum, { entry }) => sum + entry.readMs, 0)),
    tree: costliest(roots, ({ totalMs }) => totalMs).flatMap((root) => costOf(root, kept, cwd)),
    leftOut: branches.size - kept.size,
  }
}

/** The modules whose own code takes longest. */
function worstImports(imports: ImportProfile, cwd: string): readonly CostlyImport[] {
  const entries = [...imports.entries.values()].filter(({ url }) => !url.startsWith(OWN))
  return costliest(entries, ({ selfMs }) => selfMs)
    .slice(0, MAX_WORST)
    .map(({ url, selfMs }) => ({ module: shortName(url, cwd), selfMs: round(selfMs) }))
}

/** Formats a profile as lines for the log. */
export function formatProfile({ tree, modules, evaluatedMs, readMs, leftOut }: BootProfile): string[] {
  const lines = [
    `boot profile: ${modules} ${modules === 1 ? 'module' : 'modules'}, ${formatElapsed(evaluatedMs)} to evaluate and ${formatElapsed(readMs)} to read them; total, self and memory of each:`,
  ]
  let omitted = leftOut
  const add = (cost: ImportCost, depth: number): void => {
    if (cost.totalMs < evaluatedMs * MIN_LOGGED_SHARE) {
      omitted += count(cost)
      return
    }
    const memory = `${(cost.memoryBytes / 1024 / 1024).toFixed(1)} MiB`
    const did = cost.sideEffects.length === 0 ? '' : `  [${cost.sideEffects.join('; ')}]`
    lines.push(
      `${formatElapsed(cost.totalMs).padStart(8)} ${formatElapsed(cost.selfMs).padStart(8)} ${memory.padStart(10)}  ${'  '.repeat(depth)}${cost.module}${did}`,
    )
    for (const inner of cost.imports) add(inner, depth + 1)
  }
  for (const root of tree) add(root, 0)
  if (omitted > 0) lines.push(`and ${omitted} ${omitted === 1 ? 'module that takes' : 'modules that take'} less`)
  return lines
}

function count({ imports }: ImportCost): number {
  return imports.reduce((sum, inner) => sum + count(inner), 1)
}

/**
 * The path of a module relative to `cwd`; of a module in a package, from the package name on.
 */
function shortName(url: string, cwd: string): string {
  if (!url.startsWith('file:')) return url
  const path = fileURLToPath(url)
  const inPackage = /.*\/node_modules\/(.*)$/.exec(path)?.[1]
  if (inPackage !== undefined) return inPackage
  const short = relative(cwd, path)
  return short === '' || short.startsWith('..') ? path : short
}

function addUp(branch: Branch): number {
  branch.totalMs = branch.entry.selfMs + branch.children.reduce((sum, child) => sum + addUp(child), 0)
  return branch.totalMs
}

function costOf(branch: Branch, kept: ReadonlySet<Branch>, cwd: string): ImportCost[] {
  if (!kept.has(branch)) return []
  const { entry, children, totalMs } = branch
  const sideEffects = [...entry.sideEffects].map(([what, { count, ms }]) => {
    return `${count === 1 ? '' : `${count} × `}${what}${ms >= 1 ? `, ${formatElapsed(ms)}` : ''}`
  })
  return [
    {
      module: shortName(entry.url, cwd),
      selfMs: round(entry.selfMs),
      totalMs: round(totalMs),
      memoryBytes: Math.round(entry.memoryBytes),
      sideEffects,
      imports: costliest(children, (child) => child.totalMs).flatMap((child) => costOf(child, kept, cwd)),
    },
  ]
}

function costliest<T>(items: readonly T[], cost: (item: T) => number): T[] {
  return items.toSorted((a, b) => cost(b) - cost(a))
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10
}

/** The costs and side effects of the import of one module. */
export interface ModuleEntry {
  readonly url: string
  /** Milliseconds to evaluate its own code. */
  selfMs: number
  readMs: number
  memoryBytes: number
  /** By description: how often, and for how many milliseconds it blocked. */
  readonly sideEffects: Map<string, { count: number; ms: number }>
}

interface Frame {
  readonly entry: ModuleEntry
  readonly startedAt: number
  readonly memory: number
  /** Of the modules that were evaluated inside this one. */
  insideMs: number
  insideMemory: number
}

/** Records which module is being evaluated, what it costs, and which module imported it first. */
class ImportProfile {
  readonly graph: ImportGraph = new ImportGraph()
  readonly #entries = new Map<string, ModuleEntry>()
  readonly #stack: Frame[] = []

  get entries(): ReadonlyMap<string, ModuleEntry> {
    return this.#entries
  }

  /** The module whose code is being evaluated. */
  get current(): ModuleEntry | undefined {
    return this.#stack.at(-1)?.entry
  }

  entryOf(url: string): ModuleEntry {
    let entry = this.#entries.get(url)
    if (entry === undefined) {
      entry = { url, selfMs: 0, readMs: 0, memoryBytes: 0, sideEffects: new Map() }
      this.#entries.set(url, entry)
    }
    return entry
  }

  enter(url: string): void {
    const entry = this.entryOf(url)
    this.#stack.push({ entry, startedAt: monotonicNow(), memory: memoryUsed(), insideMs: 0, insideMemory: 0 })
  }

  leave(url: string): void {
    const at = this.#stack.findLastIndex(({ entry }) => entry.url === url)
    const frame = this.#stack[at]
    if (frame === undefined) return
    // A module with a top-level await leaves after modules that entered later; one that threw never
    // leaves.
    this.#stack.splice(at, 1)
    const took = monotonicNow() - frame.startedAt
    const grown = memoryUsed() - frame.memory
    frame.entry.selfMs += Math.max(0, took - frame.insideMs)
    frame.entry.memoryBytes += grown - frame.insideMemory
    const around = this.#stack[at - 1]
    if (around === undefined) return
    around.insideMs += took
    around.insideMemory += grown
  }

  /** Records a side effect of the module whose code is being evaluated. */
  note(what: string, ms: number): void {
    const did = this.current?.sideEffects
    if (did === undefined) return
    const known = did.get(what)
    if (known !== undefined) {
      known.count++
      known.ms += ms
    } else if (did.size < MAX_SIDE_EFFECTS) {
      did.set(what, { count: 1, ms })
    }
  }
}

function memoryUsed(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
