import { AsyncLocalStorage } from 'node:async_hooks'
import type { CountedQuery } from './counted-query.ts'
import { QueryCounter } from './query-counter.ts'
import type { QueryText } from './query-text.ts'

/** Counts the queries of one `expectQueries` or `expectNoRepeats`. */
export class Expectation extends QueryCounter {
  readonly outer: Expectation | null

  constructor(threshold: number, outer: Expectation | null) {
    super(threshold, true)
    this.outer = outer
  }
}

class Expectations {
  readonly #storage = new AsyncLocalStorage<Expectation>()
  /** The expectations under way. Queries look no further while it is 0. */
  size = 0

  /** Runs `work` and counts its queries, inside and outside of requests. */
  async run(threshold: number, work: (expectation: Expectation) => unknown): Promise<Expectation> {
    const expectation = new Expectation(threshold, this.#storage.getStore() ?? null)
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

/** The expectations of this process that are being checked. */
export const expectations: Expectations = new Expectations()
