/** Under what the room reports. */
export const BOOT_TOPIC = 'boot'

/** How the boot of a worker went, reported under the topic `boot` where it was profiled (`--boot-profile`). Times are milliseconds. */
export interface BootReport {
  /** From the start of the worker's code until it was ready. */
  readonly bootMs: number
  /** The imports that cost most by themselves, at most three. */
  readonly worst: readonly CostlyImport[]
  readonly profile: BootProfile
}

export interface CostlyImport {
  /** Relative to the working directory where it lies below. */
  readonly module: string
  /** Without what it imports. */
  readonly selfMs: number
}

export interface BootProfile {
  /** Modules that were measured. */
  readonly modules: number
  /** Evaluating them, and reading them. What is left of the boot is resolving, compiling and linking, and whatever was waited for. */
  readonly evaluatedMs: number
  readonly readMs: number
  /** The costliest branches, at most 200 modules. */
  readonly tree: readonly ImportCost[]
  /** Modules that are not in the tree. */
  readonly leftOut: number
}

/** What one import cost, under whoever imported it first. */
export interface ImportCost extends CostlyImport {
  /** With all that it was the first to import. */
  readonly totalMs: number
  /** By which the heap and what hangs on it grew in its own code; negative where garbage was collected meanwhile. */
  readonly memoryBytes: number
  /** What it did while it was imported: `2 × readFileSync config.json, 3 ms`. */
  readonly did: readonly string[]
  readonly imports: readonly ImportCost[]
}
