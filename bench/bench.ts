/** What the command line asks of a bench; each uses what applies to it. */
export interface BenchOptions {
  readonly rounds: number
  /** Of each measurement. */
  readonly seconds: number
  /** Names of the contenders that take part; all when empty. */
  readonly only: readonly string[]
  readonly app: string | undefined
  /** Directory of another checkout of Punctual that takes part. */
  readonly compare: string | undefined
  /** The long form, for those who have one. */
  readonly long: boolean
}

export interface Bench {
  readonly prose: string
  readonly rounds: number
  readonly seconds: number
  run(options: BenchOptions): Promise<void>
}
