/** The beginning of a statement, behind white space and comments. */
const START = String.raw`(?:^|;)(?:\s|--[^\n]*|\/\*(?:[^*]|\*(?!\/))*\*\/)*`
/**
 * Statements whose effect outlives their transaction, or a transaction that was never begun: roles
 * and settings, advisory locks, temporary tables, and so on. Changes that end with the transaction
 * (`set local`, `pg_advisory_xact_lock`) are not among them.
 */
const CHANGES = new RegExp(
  String.raw`${START}(?:set\s+(?!local\b|transaction\b|constraints\b)|listen\b|prepare\b|load\b)` +
    String.raw`|\bset_config\s*\((?![^)]*,\s*true\s*\))|\bpg_(?:try_)?advisory_lock` +
    String.raw`|\b(?:create(?:\s+or\s+replace)?|into)\s+(?:(?:global|local)\s+)?temp(?:orary)?\b|\bpg_temp\s*\.|\bwith\s+hold\b`,
  'i',
)
/** Functions of PostgreSQL that many queries begin with, and that change nothing of the session. */
const HARMLESS =
  '(?:pg_|current_|jsonb?_|generate_|date_)\\w*|' +
  '(?:now|version|nextval|count|sum|min|max|avg|coalesce|exists|distinct|array|row_to_json|to_jsonb?|string_agg|' +
  'unnest|lower|upper|extract|cast|set_config)'
/**
 * Code of the app in the database, which may change the session: `do`, `call`, and a function that
 * a query begins with, as in `select auth.become($1)`. If it fails, its changes are undone.
 */
const OPAQUE = new RegExp(
  String.raw`${START}(?:do\b|call\b|select\s+(?:\*\s+from\s+)?(?!(?:pg_catalog\.)?(?:${HARMLESS})\s*\()[\w$."]+\s*\()`,
  'i',
)
/** Statements that undo changes of the session. Those that change it may do so as well. */
const CLEANS = new RegExp(
  String.raw`${START}(?:reset|discard|drop|deallocate|unlisten|close)\b|\bpg_advisory_unlock`,
  'i',
)

/** Whether a statement changes its session beyond its transaction. */
function changesSession(sql: string): boolean {
  return CHANGES.test(sql)
}

/**
 * What the borrower of a connection may have left in its session. A borrower that changes the
 * session cleans up afterwards; if a query of it was given up in between, it may never come to
 * that, and the next borrower would run as another role or with its locks.
 */
export class SessionState {
  #isChanged = false
  /** A query was given up, or the borrower, and no statement that cleans up has succeeded since. */
  #isGivenUp = false
  /** A statement that changes the session was given up, and may have taken effect. */
  #isUnknown = false

  /** Whether the connection must not be used by anybody else. */
  get isDoubtful(): boolean {
    return this.#isUnknown || (this.#isChanged && this.#isGivenUp)
  }

  noteQuery(sql: string): void {
    if (!this.#isChanged && changesSession(sql)) this.#isChanged = true
  }

  noteGivenUp(sql: string): void {
    this.#isGivenUp = true
    if (changesSession(sql)) this.#isUnknown = true
  }

  /** A statement has succeeded: it may be code that changes the session, or clean it up. */
  noteSuccess(sql: string): void {
    const isOpaque = (!this.#isChanged || this.#isGivenUp) && OPAQUE.test(sql)
    if (isOpaque) this.#isChanged = true
    if (this.#isGivenUp && (isOpaque || CLEANS.test(sql) || changesSession(sql))) this.#isGivenUp = false
  }

  /** The connection is returned. */
  reset(): void {
    this.#isChanged = false
    this.#isGivenUp = false
    this.#isUnknown = false
  }
}
