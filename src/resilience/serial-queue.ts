/** Runs asynchronous work one piece at a time, in order. A failure does not stop the queue. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve()

  /**
   * Calls `work` when all work that was added before has settled. Work must not wait for work that
   * it adds to its own queue.
   *
   * @returns what `work` returns; rejects as it does
   */
  run<Value>(work: () => Value | PromiseLike<Value>): Promise<Value> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  /** Resolves when all work that was added so far has settled. Never rejects. */
  async idle(): Promise<void> {
    await this.#last
  }
}
