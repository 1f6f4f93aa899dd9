/** Options of the command line. A bench ignores those that do not apply to it. */
export interface BenchOptions {
  readonly rounds: number
  /** Duration of each measurement. */
  readonly seconds: number
  /** Names of the contenders to measure; empty means all. */
  readonly only: readonly string[]
  readonly app: string | undefined
  /** Directory of another checkout of Punctual to compare with. */
  readonly compare: string | undefined
  /** Runs the long variant of a bench that has one. */
  readonly long: boolean
}

export interface Bench {
  readonly prose: string
  readonly rounds: number
  readonly seconds: number
  run(options: BenchOptions): Promise<void>
}
