import { hideValues } from '../database/shorten-sql.ts'

/** Longer statements are not kept. */
const LONGEST = 1_500
const TYPED = /\b(interval|date|time|timestamp|timestamptz) (\$\d+)/gi

/**
 * A statement as `EXPLAIN` can read it, and without the values in it: they become parameters after those it has. Whole numbers of up to two digits stay,
 * since they mostly are positions, sizes and the like, where a parameter may not stand. Null where it is too long to be kept.
 */
export function explainableSql(sql: string): string | null {
  if (sql.length > LONGEST) return null
  let last = 0
  for (const [, number] of sql.matchAll(/\$(\d+)/g)) last = Math.max(last, Number(number))
  // SQLite's `?` is no parameter to PostgreSQL; nor is it explained there.
  return hideValues(sql, (value) => (/^\d{1,2}$/.test(value) ? value : `$${++last}`))
    .replace(TYPED, '$2::$1')
    .replace(/ ?;$/, '')
}
