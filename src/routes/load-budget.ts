/** What waiting for requests may cost in all: this much at once, so that a burst right after the start is served undisturbed … */
const AT_ONCE = 400
/** … and this share of the time that loading has taken. */
const SHARE = 0.05

/**
 * How long loading may stand back behind requests. Under steady traffic there is never a quiet moment, and what is deferred must be loaded all the
 * same: so standing back is paid from a budget that grows with the work done. Together with `AT_ONCE` that keeps the whole well within a fifth more than
 * without.
 */
export class LoadBudget {
  #left = AT_ONCE
  #spent = 0

  /** Milliseconds. */
  get left(): number {
    return this.#left
  }

  get spent(): number {
    return this.#spent
  }

  earn(loadedFor: number): void {
    this.#left = Math.min(AT_ONCE, this.#left + loadedFor * SHARE)
  }

  spend(waited: number): void {
    this.#left = Math.max(0, this.#left - waited)
    this.#spent += waited
  }
}
