import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BootProfile, CostlyImport, ImportCost } from '../diagnostics/modules/boot-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { formatElapsed } from '../resilience/duration.ts'
import { ImportGraph } from '../routes/import-graph.ts'

const MOST_NODES = 200
const MOST_WORST = 3
/** The log tells what takes at least this share of the whole; `/status` has more. */
const LEAST_TOLD = 0.01

/** Punctual's own modules are no business of an app's. */
const OWN = new URL('..', import.meta.url).href

interface Branch {
  readonly entry: ModuleEntry
  readonly children: Branch[]
  totalMs: number
}

/** The tree of what was imported, each module under whoever imported it first, the costliest first. */
export function bootProfile(ledger: ImportProfile, cwd: string): BootProfile {
  const branches = new Map<string, Branch>()
  for (const entry of ledger.entries.values()) {
    if (!entry.url.startsWith(OWN)) branches.set(entry.url, { entry, children: [], totalMs: 0 })
  }
  const roots: Branch[] = []
  for (const branch of branches.values()) {
    const [, importer] = ledger.graph.chain(branch.entry.url, 2)
    const around = importer === undefined ? undefined : branches.get(importer)
    if (around === undefined) roots.push(branch)
    else around.children.push(branch)
  }
  for (const root of roots) addUp(root)
  const kept = new Set(costliest([...branches.values()], ({ totalMs }) => totalMs).slice(0, MOST_NODES))
  const all = [...branches.values()]
  return {
    modules: branches.size,
    evaluatedMs: round(all.reduce((sum, { entry }) => sum + entry.selfMs, 0)),
    readMs: round(all.reduce((sum, { entry }) => sum + entry.readMs, 0)),
    tree: costliest(roots, ({ totalMs }) => totalMs).flatMap((root) => costOf(root, kept, cwd)),
    leftOut: branches.size - kept.size,
  }
}

/** The modules that cost most by themselves. */
export function worstImports(ledger: ImportProfile, cwd: string): readonly CostlyImport[] {
  const entries = [...ledger.entries.values()].filter(({ url }) => !url.startsWith(OWN))
  return costliest(entries, ({ selfMs }) => selfMs)
    .slice(0, MOST_WORST)
    .map(({ url, selfMs }) => ({ module: shortName(url, cwd), selfMs: round(selfMs) }))
}

/** The tree as lines of text, for the log. */
export function tellProfile({ tree, modules, evaluatedMs, readMs, leftOut }: BootProfile): string[] {
  const lines = [
    `boot profile: ${modules} modules, ${formatElapsed(evaluatedMs)} to evaluate and ${formatElapsed(readMs)} to read them; total, self and memory of each:`,
  ]
  let untold = leftOut
  const tell = (cost: ImportCost, depth: number): void => {
    if (cost.totalMs < evaluatedMs * LEAST_TOLD) {
      untold += count(cost)
      return
    }
    const memory = `${(cost.memoryBytes / 1024 / 1024).toFixed(1)} MiB`
    const did = cost.did.length === 0 ? '' : `  [${cost.did.join('; ')}]`
    lines.push(
      `${formatElapsed(cost.totalMs).padStart(8)} ${formatElapsed(cost.selfMs).padStart(8)} ${memory.padStart(10)}  ${'  '.repeat(depth)}${cost.module}${did}`,
    )
    for (const inner of cost.imports) tell(inner, depth + 1)
  }
  for (const root of tree) tell(root, 0)
  if (untold > 0) lines.push(`and ${untold} modules that cost less`)
  return lines
}

function count({ imports }: ImportCost): number {
  return imports.reduce((sum, inner) => sum + count(inner), 1)
}

/** The path of a module as a person in `cwd` would type it; inside of packages from the package on. */
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
  const did = [...entry.did].map(([what, { count, ms }]) => {
    return `${count === 1 ? '' : `${count} × `}${what}${ms >= 1 ? `, ${formatElapsed(ms)}` : ''}`
  })
  return [
    {
      module: shortName(entry.url, cwd),
      selfMs: round(entry.selfMs),
      totalMs: round(totalMs),
      memoryBytes: Math.round(entry.memoryBytes),
      did,
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

/** What one module did and took while it was imported. */
export interface ModuleEntry {
  readonly url: string
  /** Evaluating its own code, in milliseconds. */
  selfMs: number
  readMs: number
  memoryBytes: number
  /** By what was done: how often, and the milliseconds it took where it blocked. */
  readonly did: Map<string, { count: number; ms: number }>
}

interface Frame {
  readonly entry: ModuleEntry
  readonly startedAt: number
  readonly memory: number
  /** Of the modules that were evaluated inside of it. */
  insideMs: number
  insideMemory: number
}

const MOST_DEEDS = 20

/** Writes down which module is being evaluated, what it costs, and who imported it first. */
export class ImportProfile {
  readonly graph: ImportGraph = new ImportGraph()
  readonly #entries = new Map<string, ModuleEntry>()
  readonly #stack: Frame[] = []

  get entries(): ReadonlyMap<string, ModuleEntry> {
    return this.#entries
  }

  /** The module whose code runs now, as far as it is imported. */
  get current(): ModuleEntry | undefined {
    return this.#stack.at(-1)?.entry
  }

  entryOf(url: string): ModuleEntry {
    let entry = this.#entries.get(url)
    if (entry === undefined) {
      entry = { url, selfMs: 0, readMs: 0, memoryBytes: 0, did: new Map() }
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
    // One that awaits at its top level is left later than others that were entered meanwhile; one that threw is never left.
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

  /** The module whose code runs now has done something. */
  note(what: string, ms: number): void {
    const did = this.current?.did
    if (did === undefined) return
    const known = did.get(what)
    if (known !== undefined) {
      known.count++
      known.ms += ms
    } else if (did.size < MOST_DEEDS) {
      did.set(what, { count: 1, ms })
    }
  }
}

function memoryUsed(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
