/**
 * Statements whose effect outlives their transaction, or a transaction that was never begun: roles
 * and settings, advisory locks, temporary tables, and so on. Changes that end with the transaction
 * (`set local`, `pg_advisory_xact_lock`) are not among them.
 */
const CHANGES =
  /(?:^|;)\s*(?:set\s+(?!local\b|transaction\b|constraints\b)|listen\b|prepare\b|load\b)|\bset_config\s*\((?![^)]*,\s*true\s*\))|\bpg_(?:try_)?advisory_lock|\bcreate\s+(?:(?:global|local)\s+)?temp|\bwith\s+hold\b/i
/** Control of transactions says nothing about the session. */
const TRANSACTION_CONTROL = /^\s*(?:begin|start|commit|end|rollback|abort|savepoint|release)\b/i

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
  /** A query was given up, or the borrower, and no statement has succeeded since. */
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

  /** A statement after that has succeeded: the borrower cleans up. */
  noteSuccess(sql: string): void {
    if (this.#isGivenUp && !TRANSACTION_CONTROL.test(sql)) this.#isGivenUp = false
  }

  /** The connection is returned. */
  reset(): void {
    this.#isChanged = false
    this.#isGivenUp = false
    this.#isUnknown = false
  }
}
