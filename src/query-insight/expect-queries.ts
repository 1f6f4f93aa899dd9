import { AssertionError } from 'node:assert'
import { queryRules } from '../diagnostics/query-rules.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { type Expectation, expectations } from './expectation.ts'
import { findRepeats } from './find-repeats.ts'
import { tellSql } from './normalise-sql.ts'
import { adviceOn, tellRepeat } from './request-tally.ts'

/** How many queries are expected: that many, or at most so many. */
export type ExpectedQueries = number | { readonly max: number }

/**
 * Fails unless `work` runs this many queries on guarded pools and SQLite databases. For any test runner: what it throws is an `AssertionError` that lists the queries. It counts
 * what `work` starts, in requests too where these run in its own process and asynchronous context (`app.inject`), and not what a server does whose
 * request comes over a socket.
 *
 * @returns what `work` returns; rejects with what it throws
 * @throws {AssertionError} (as a rejection)
 * @throws {InvalidOptionError} (as a rejection) for a number that is none
 */
export async function expectQueries<T>(expected: ExpectedQueries, work: () => T | PromiseLike<T>): Promise<T> {
  const most = typeof expected === 'number' ? expected : expected?.max
  if (!Number.isSafeInteger(most) || most < 0) {
    throw new InvalidOptionError(
      'expectQueries',
      'expected',
      expected,
      'must be a number of queries, or { max: number }',
    )
  }
  const { result, expectation } = await counted(Number.POSITIVE_INFINITY, work)
  const { total } = expectation
  const isRight = typeof expected === 'number' ? total === most : total <= most
  if (isRight) return result
  throw new AssertionError({
    message: `expected ${typeof expected === 'number' ? '' : 'at most '}${tellCount(most)}, and there ${total === 1 ? 'was' : 'were'} ${total}${listOf(expectation)}`,
    actual: total,
    expected: most,
    operator: 'expectQueries',
    stackStartFn: expectQueries,
  })
}

export interface RepeatOptions {
  /** Runs of one query from one place that are too many. Default: the setting `repeatedQueryThreshold`, which is 5. */
  readonly repeats?: number
}

/**
 * Fails if `work` runs a query again and again from one place, and says from which: what the log of a request would tell. What it counts and throws is as with
 * `expectQueries`.
 *
 * @returns what `work` returns; rejects with what it throws
 * @throws {AssertionError} (as a rejection)
 * @throws {InvalidOptionError} (as a rejection) for a number that is none
 */
export async function expectNoRepeats<T>(work: () => T | PromiseLike<T>, options: RepeatOptions = {}): Promise<T> {
  const { repeats = Math.min(queryRules().repeatedQueryThreshold, 1_000) } = options
  if (!Number.isSafeInteger(repeats) || repeats < 2) {
    throw new InvalidOptionError('expectNoRepeats', 'repeats', repeats, 'must be a whole number of at least 2')
  }
  const { result, expectation } = await counted(repeats, work)
  const found = await findRepeats(expectation)
  if (found.length === 0) return result
  const lines = found.map((repeat) => `  ${tellRepeat(repeat)}`)
  throw new AssertionError({
    message: `expected no query to be repeated:\n${lines.join('\n')}`,
    actual: found.map((repeat) => {
      const { use, kind, count, place, via } = repeat
      return { sql: tellSql(use.fingerprint.text), kind, count, place, via, advice: adviceOn(repeat) }
    }),
    expected: [],
    operator: 'expectNoRepeats',
    stackStartFn: expectNoRepeats,
  })
}

async function counted<T>(
  repeats: number,
  work: () => T | PromiseLike<T>,
): Promise<{ readonly result: T; readonly expectation: Expectation }> {
  let result: T | undefined
  const expectation = await expectations.run(repeats, async () => {
    result = await work()
  })
  return { result: result as T, expectation }
}

function tellCount(count: number): string {
  return count === 0 ? 'no query' : count === 1 ? '1 query' : `${count} queries`
}

function listOf({ uses }: Expectation): string {
  const lines = uses.map(({ fingerprint, runs }) => `  ${runs} × ${tellSql(fingerprint.text)}`)
  return lines.length === 0 ? '' : `:\n${lines.join('\n')}`
}
