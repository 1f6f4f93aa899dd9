import { AssertionError } from 'node:assert'
import { checkOptions } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import { type Expectation, expectations } from './expectation.ts'
import { queryRules } from './query-rules.ts'
import { adviceFor, findRepeats, formatRepeat } from './repeats.ts'
import { formatSql } from './sql-text.ts'

/** The number of queries that are expected, or the most. */
export type ExpectedQueries = number | { readonly max: number }

/**
 * Fails unless `work` runs this number of queries on guarded pools and SQLite databases. It works
 * in any test runner. It counts what `work` starts in this process, including requests by
 * `app.inject`, but not the queries of a server that is called over a socket.
 *
 * @returns a promise of the result of `work`; it rejects with the error of `work`
 * @throws {AssertionError} (as a rejection) that lists the queries
 * @throws {InvalidOptionError} (as a rejection) for an invalid number
 */
export async function expectQueries<T>(expected: ExpectedQueries, work: () => T | PromiseLike<T>): Promise<T> {
  const most = typeof expected === 'number' ? expected : expected?.max
  if (!Number.isSafeInteger(most) || most < 0) {
    const must = 'must be a number of queries, or { max: number }'
    throw new InvalidOptionError('expectQueries', 'expected', expected, must)
  }
  const { result, expectation } = await counted(Number.POSITIVE_INFINITY, work)
  const { total } = expectation
  const isExpected = typeof expected === 'number' ? total === most : total <= most
  if (isExpected) return result
  const atMost = typeof expected === 'number' ? '' : 'at most '
  throw new AssertionError({
    message: `expected ${atMost}${formatCount(most)}, got ${total}${formatList(expectation)}`,
    actual: total,
    expected: most,
    operator: 'expectQueries',
    stackStartFn: expectQueries,
  })
}

export interface RepeatOptions {
  /**
   * The number of runs of one query from one place that is too many. Default: the setting
   * `repeatedQueryThreshold`, which is 5.
   */
  readonly repeats?: number
}

/**
 * Fails if `work` runs a query repeatedly from one place, as the log of a request would report it.
 * It counts the same queries as `expectQueries`.
 *
 * @returns a promise of the result of `work`; it rejects with the error of `work`
 * @throws {AssertionError} (as a rejection) that names each query and place
 * @throws {InvalidOptionError} (as a rejection) for an invalid number
 */
export async function expectNoRepeats<T>(work: () => T | PromiseLike<T>, options: RepeatOptions = {}): Promise<T> {
  checkOptions('expectNoRepeats', options, { repeats: true })
  const { repeats = Math.min(queryRules().repeatedQueryThreshold, 1_000) } = options
  if (!Number.isSafeInteger(repeats) || repeats < 2) {
    throw new InvalidOptionError('expectNoRepeats', 'repeats', repeats, 'must be a whole number of at least 2')
  }
  const { result, expectation } = await counted(repeats, work)
  const found = await findRepeats(expectation)
  if (found.length === 0) return result
  const lines = found.map((repeat) => `  ${formatRepeat(repeat)}`)
  throw new AssertionError({
    message: `expected no repeated query, got:\n${lines.join('\n')}`,
    actual: found.map((repeat) => {
      const { use, kind, count, place, via } = repeat
      return { sql: formatSql(use.fingerprint.text), kind, count, place, via, advice: adviceFor(repeat) }
    }),
    expected: [],
    operator: 'expectNoRepeats',
    stackStartFn: expectNoRepeats,
  })
}

async function counted<T>(
  threshold: number,
  work: () => T | PromiseLike<T>,
): Promise<{ readonly result: T; readonly expectation: Expectation }> {
  let result: T | undefined
  const expectation = await expectations.run(threshold, async () => {
    result = await work()
  })
  return { result: result as T, expectation }
}

function formatCount(count: number): string {
  return count === 0 ? 'no query' : count === 1 ? '1 query' : `${count} queries`
}

function formatList({ uses }: Expectation): string {
  const lines = uses.map(({ fingerprint, runs }) => `  ${runs} × ${formatSql(fingerprint.text)}`)
  return lines.length === 0 ? '' : `:\n${lines.join('\n')}`
}
