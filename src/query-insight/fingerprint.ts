import { explainableSql, type StatementRole, statementRole } from './sql-text.ts'

/** Longer statements are not kept, to save memory. */
export const MAX_KEPT_SQL = 10_000
const MAX_CALLERS = 20
const MAX_KNOWN = 1_000
let created = 0

/** All statements that differ only in values, and what they have cost this process so far. */
export class Fingerprint {
  readonly key: string
  /** A short hash of the key, for people to type. */
  readonly id: string
  /** One of 32 bits, assigned in turn. */
  readonly mark: number = 1 << (created++ & 31)
  /** The normalized statement. */
  readonly text: string
  readonly role: StatementRole
  /** The pool or SQLite database that ran it first. */
  readonly pool: string
  readonly isPostgres: boolean
  /** One of the statements it was made from. */
  readonly #sql: string
  /** Whether it is in the registry of known fingerprints, and so reported. */
  isKnown = false
  failed = 0
  rows = 0
  totalMs = 0
  readonly durations: DurationSketch = new DurationSketch()
  /** Until this instant its repeats are sampled only; monotonic milliseconds. */
  sampledUntil = 0
  /** Callers that have been found to repeat it. */
  readonly callers: Set<string> = new Set()

  constructor(text: string, sql: string, pool: string, isPostgres: boolean) {
    this.key = fingerprintKey(text, isPostgres)
    this.id = shortHash(this.key)
    this.text = text
    this.role = statementRole(text)
    this.pool = pool
    this.isPostgres = isPostgres
    this.#sql = sql.length <= MAX_KEPT_SQL ? sql : ''
  }

  /** The statement for `EXPLAIN`, without values; null if it is too long or not for PostgreSQL. */
  get explainable(): string | null {
    return this.isPostgres && this.#sql !== '' ? explainableSql(this.#sql) : null
  }

  addCaller(caller: string, sampledUntil: number): void {
    this.sampledUntil = sampledUntil
    if (this.callers.size < MAX_CALLERS) this.callers.add(caller)
  }

  /** The number of runs that succeeded. */
  get count(): number {
    return this.durations.count
  }

  /** Adds a run that succeeded. */
  add(duration: number, rows: number): void {
    this.rows += rows
    this.totalMs += duration
    this.durations.add(duration)
  }
}

/** PostgreSQL and SQLite have separate fingerprints: their plans and durations differ. */
export function fingerprintKey(text: string, isPostgres: boolean): string {
  return isPostgres ? text : `sqlite ${text}`
}

/** FNV-1a with two seeds; 48 bits in hexadecimal. */
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

/** By key. When there are too many, the half that took the least time is dropped. */
const known = new Map<string, Fingerprint>()

export function knownFingerprint(key: string): Fingerprint | undefined {
  return known.get(key)
}

export function knownFingerprints(): Iterable<Fingerprint> {
  return known.values()
}

export function addKnownFingerprint(fingerprint: Fingerprint): Fingerprint {
  if (known.size >= MAX_KNOWN) dropHalf()
  known.set(fingerprint.key, fingerprint)
  fingerprint.isKnown = true
  return fingerprint
}

/**
 * Returns the known fingerprint for one that was dropped while it ran: its successor, or itself.
 */
export function restoreFingerprint(dropped: Fingerprint): Fingerprint {
  return known.get(dropped.key) ?? addKnownFingerprint(dropped)
}

function dropHalf(): void {
  const all = [...known.values()].sort((one, other) => one.totalMs - other.totalMs)
  for (const fingerprint of all.slice(0, MAX_KNOWN / 2)) {
    known.delete(fingerprint.key)
    fingerprint.isKnown = false
  }
}

/** Buckets per power of two; a quantile is off by an eighth at most. */
const PER_DOUBLING = 4
/** Steps of a millisecond: the resolution. */
const STEPS = 64
const MAX_STEPS = 2 ** 30
const BUCKETS = 31 * PER_DOUBLING

/**
 * A histogram of durations in log-linear buckets, as in HdrHistogram. It takes about 500 bytes;
 * adding a value takes a few nanoseconds.
 */
export class DurationSketch {
  readonly #buckets = new Uint32Array(BUCKETS)
  count = 0

  /** @param duration in milliseconds */
  add(duration: number): void {
    const steps = duration >= MAX_STEPS / STEPS ? MAX_STEPS : (duration * STEPS) | 0
    const index = steps < PER_DOUBLING ? Math.max(0, steps) : bucketOf(steps)
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1
    this.count++
  }

  /**
   * The quantile of a share from 0 to 1 in milliseconds, to the middle of its bucket; 0 if empty.
   */
  quantile(share: number): number {
    if (this.count === 0) return 0
    let left = Math.ceil(share * this.count)
    let index = 0
    for (; index < BUCKETS - 1; index++) {
      left -= this.#buckets[index] ?? 0
      if (left <= 0) break
    }
    return (startOf(index) + startOf(index + 1)) / 2 / STEPS
  }
}

function bucketOf(steps: number): number {
  const doubling = 31 - Math.clz32(steps)
  return (doubling - 1) * PER_DOUBLING + ((steps >> (doubling - 2)) & 3)
}

function startOf(index: number): number {
  if (index < PER_DOUBLING) return index
  const doubling = Math.floor(index / PER_DOUBLING) + 1
  return 2 ** doubling + (index % PER_DOUBLING) * 2 ** (doubling - 2)
}
