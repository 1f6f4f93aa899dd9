/** What a release has done. */
export interface ReleaseReport {
  /** Names of the migrations that were run now; empty when all were in place. */
  readonly migrations: readonly string[]
  readonly migrationMs: number
  /** Users the seed has added: those of the login and, over PostgreSQL, those of auth. */
  readonly seeded: number
  readonly seedMs: number
  /** What it ran on, e.g. `PostgreSQL 18.4`. */
  readonly database: string
}
