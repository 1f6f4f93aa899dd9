import type { CountedQuery } from './counted-query.ts'

/** A query that `pool.query` has counted where it was called, on its way to the connection; undefined while there is none. */
let handed: CountedQuery | null | undefined

/** Calls `work`, which gives one query to a connection; it is not counted there again. */
export function handOver<T>(query: CountedQuery | null, work: () => T): T {
  handed = query
  try {
    return work()
  } finally {
    handed = undefined
  }
}

/** What was handed over, once; undefined where nothing was. */
export function takeOver(): CountedQuery | null | undefined {
  const taken = handed
  handed = undefined
  return taken
}
