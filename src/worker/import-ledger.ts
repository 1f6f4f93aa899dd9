import { monotonicNow } from '../resilience/clock.ts'
import { ImportGraph } from '../routes/import-graph.ts'

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
export class ImportLedger {
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
