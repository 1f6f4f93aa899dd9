import { DurationSketch } from './duration-sketch.ts'
import { explainableSql } from './explainable-sql.ts'
import { type StatementRole, statementRole } from './statement-role.ts'

/** Longer statements are not kept: they would cost more than they are worth. */
export const LONGEST_KEPT = 10_000
const MOST_CALLERS = 20
let made = 0

/** Statements that are alike but for their values, and what they cost this process so far. */
export class Fingerprint {
  /** Among all of them. */
  readonly key: string
  /** The same, short enough to be typed. */
  readonly id: string
  /** One bit of 32, by turns. */
  readonly mark: number = 1 << (made++ & 31)
  /** Normalised. */
  readonly text: string
  readonly role: StatementRole
  /** The pool, or SQLite database, that was first asked. */
  readonly pool: string
  readonly isPostgres: boolean
  /** One that it was made from. */
  readonly #sql: string
  /** It is among those that are known, and counts. */
  isKnown = false
  failed = 0
  rows = 0
  totalMs = 0
  readonly durations: DurationSketch = new DurationSketch()
  /** Monotonic milliseconds before which its repeats are looked at less closely. */
  nextLook = 0
  /** Callers that are known to repeat it. */
  readonly callers: Set<string> = new Set()

  constructor(text: string, sql: string, pool: string, isPostgres: boolean) {
    this.key = fingerprintKey(text, isPostgres)
    this.id = shortHash(this.key)
    this.text = text
    this.role = statementRole(text)
    this.pool = pool
    this.isPostgres = isPostgres
    this.#sql = sql.length <= LONGEST_KEPT ? sql : ''
  }

  /** As `EXPLAIN` can read it, without values; null where it is too long, or not PostgreSQL's. */
  get explainable(): string | null {
    return this.isPostgres && this.#sql !== '' ? explainableSql(this.#sql) : null
  }

  /** It was found to be repeated by this caller. */
  addCaller(caller: string, nextLook: number): void {
    this.nextLook = nextLook
    if (this.callers.size < MOST_CALLERS) this.callers.add(caller)
  }

  /** How many have ended well. */
  get count(): number {
    return this.durations.count
  }

  /** One has ended well, after so many milliseconds. */
  add(duration: number, rows: number): void {
    this.rows += rows
    this.totalMs += duration
    this.durations.add(duration)
  }
}

/** The same statement is another in another database: it takes another time, and cannot be explained the same way. */
export function fingerprintKey(text: string, isPostgres: boolean): string {
  return isPostgres ? text : `sqlite ${text}`
}

/** FNV-1a, twice with different seeds; 48 bits in hexadecimal. */
function shortHash(text: string): string {
  return (
    fnv(text, 0x811c9dc5).toString(16).padStart(8, '0') + fnv(text, 0x5bd1e995).toString(16).padStart(8, '0')
  ).slice(0, 12)
}

function fnv(text: string, seed: number): number {
  let hash = seed
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return hash >>> 0
}
