import type { ModuleMetric } from './metric-definition.ts'

/** The topic under which a worker reports its boot. */
export const BOOT_TOPIC = 'boot'

/** The profile of the boot of a worker, with `--boot-profile`. Times are in milliseconds. */
export interface BootReport {
  /** From the start of the worker's code until it was ready. */
  readonly bootMs: number
  /** The three modules whose own code took longest. */
  readonly worst: readonly CostlyImport[]
  readonly profile: BootProfile
}

export interface CostlyImport {
  /** The path, relative to the working directory if it is below. */
  readonly module: string
  /** Its own code, without its imports. */
  readonly selfMs: number
}

export interface BootProfile {
  /** How many modules were measured. */
  readonly modules: number
  /** To evaluate all modules. The rest of the boot is resolving, compiling, linking and waiting. */
  readonly evaluatedMs: number
  /** To read all modules. */
  readonly readMs: number
  /** The most expensive branches, at most 200 modules. */
  readonly tree: readonly ImportCost[]
  /** How many modules are not in the tree. */
  readonly leftOut: number
}

/** The cost of one import, below the first module that imported it. */
export interface ImportCost extends CostlyImport {
  /** Including everything that it was the first to import. */
  readonly totalMs: number
  /** Growth of the heap and external memory; negative if garbage was collected in between. */
  readonly memoryBytes: number
  /** What it did during its import, e.g. `2 × readFileSync config.json, 3 ms`. */
  readonly sideEffects: readonly string[]
  readonly imports: readonly ImportCost[]
}

export const bootMetrics: readonly ModuleMetric<BootReport>[] = [
  {
    name: 'punctual_worker_import_seconds',
    help: 'Time that the most expensive imports of a profiled boot took, without their own imports.',
    type: 'gauge',
    labels: ['module'],
    values: ({ worst }) => worst.map(({ module, selfMs }) => ({ labels: { module }, value: selfMs / 1_000 })),
  },
]
