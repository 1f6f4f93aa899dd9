/**
 * Runs one piece of asynchronous work after the other, in the order in which they were given. One
 * that fails does not hold up the next.
 */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve()

  /**
   * Calls `work` when everything that was given before has settled.
   *
   * Work must not wait for more work of its own queue, which would wait for it.
   *
   * @returns what `work` returns, or rejects as it does
   */
  run<Value>(work: () => Value | PromiseLike<Value>): Promise<Value> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** Resolves when everything that was given so far has settled. Never rejects. */
  async idle(): Promise<void> {
    await this.#last
  }
}
