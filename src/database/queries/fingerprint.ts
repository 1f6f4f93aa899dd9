import { DurationSketch } from './duration-sketch.ts'
import { explainableSql } from './explainable-sql.ts'
import { normaliseSql } from './normalise-sql.ts'
import { type ParameterKey, rangeParameters, readsRange } from './range-parameters.ts'
import { RecentMap } from './recent-map.ts'
import { type StatementRole, statementRole } from './statement-role.ts'

const MOST_CALLERS = 20
let made = 0

/** Statements that are alike but for their values, and what they cost this process so far. */
export class Fingerprint {
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
  failed = 0
  rows = 0
  totalMs = 0
  readonly durations: DurationSketch = new DurationSketch()
  /** Monotonic milliseconds before which its repeats are looked at less closely. */
  nextLook = 0
  /** Callers that are known to repeat it. */
  readonly callers: Set<string> = new Set()

  constructor(text: string, sql: string, pool: string, isPostgres: boolean) {
    this.id = shortHash(text)
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

/** One text of a statement, as it was given to the driver. */
export class QueryText {
  readonly fingerprint: Fingerprint
  /** It does many at once. */
  readonly many: boolean
  readonly #sql: string
  #ranges: ReadonlySet<ParameterKey> | null = null

  constructor(fingerprint: Fingerprint, many: boolean, sql: string) {
    this.fingerprint = fingerprint
    this.many = many
    this.#sql = sql
  }

  /** Parameters that say which stretch of rows is read. */
  get ranges(): ReadonlySet<ParameterKey> {
    this.#ranges ??= rangeParameters(this.#sql)
    return this.#ranges
  }

  /** With its values written into it, it reads a stretch. */
  get readsRange(): boolean {
    return readsRange(this.fingerprint.text)
  }
}

/** Texts that are remembered; each is looked up once a query. */
const MOST_TEXTS = 2_000
const MOST_FINGERPRINTS = 1_000
/** Longer texts are worked out each time: to keep them would cost more. */
const LONGEST_KEPT = 10_000

const texts = {
  postgres: new RecentMap<string, QueryText>(MOST_TEXTS),
  sqlite: new RecentMap<string, QueryText>(MOST_TEXTS),
}
const fingerprints = new RecentMap<string, Fingerprint>(MOST_FINGERPRINTS)

/** What is known of a text; one look into a map, unless it is new. */
export function queryText(sql: string, pool: string, isPostgres: boolean): QueryText {
  const known = isPostgres ? texts.postgres : texts.sqlite
  return known.get(sql) ?? readText(sql, pool, isPostgres, known)
}

function readText(sql: string, pool: string, isPostgres: boolean, known: RecentMap<string, QueryText>): QueryText {
  const { text, many } = normaliseSql(sql)
  const key = isPostgres ? text : `sqlite ${text}`
  let fingerprint = fingerprints.get(key)
  if (fingerprint === undefined) {
    fingerprint = new Fingerprint(text, sql, pool, isPostgres)
    fingerprints.set(key, fingerprint)
  }
  const read = new QueryText(fingerprint, many, sql)
  if (sql.length <= LONGEST_KEPT) known.set(sql, read)
  return read
}

/** Those that are remembered. */
export function knownFingerprints(): Iterable<Fingerprint> {
  return fingerprints.values()
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
