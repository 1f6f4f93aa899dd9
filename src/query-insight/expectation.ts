import { AsyncLocalStorage } from 'node:async_hooks'
import type { CountedQuery } from './counted-query.ts'
import { QueryTally } from './query-tally.ts'
import type { QueryText } from './query-text.ts'

/** A piece of a test, and those around it. */
export class Expectation extends QueryTally {
  readonly outer: Expectation | null

  constructor(repeats: number, outer: Expectation | null) {
    super(repeats, true)
    this.outer = outer
  }
}

/** The expectations that are being checked; nobody asks for them while there are none. */
class Expectations {
  readonly #storage = new AsyncLocalStorage<Expectation>()
  size = 0

  /** Runs `work` so that its queries are counted, also beyond requests. */
  async run(repeats: number, work: (expectation: Expectation) => unknown): Promise<Expectation> {
    const expectation = new Expectation(repeats, this.#storage.getStore() ?? null)
    this.size++
    try {
      await this.#storage.run(expectation, () => work(expectation))
      return expectation
    } finally {
      this.size--
    }
  }

  begin(text: QueryText, values: unknown, now: number): readonly CountedQuery[] | null {
    let runs: CountedQuery[] | null = null
    for (let one = this.#storage.getStore() ?? null; one !== null; one = one.outer) {
      runs ??= []
      runs.push(one.begin(text, values, now))
    }
    return runs
  }
}

export const expectations: Expectations = new Expectations()
