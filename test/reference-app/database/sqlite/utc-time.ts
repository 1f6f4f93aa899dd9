import type { RawBuilder } from 'kysely'
import { sql } from 'kysely'

// In the format of `Date.prototype.toISOString`, which sorts by time and makes the JSON of both
// databases equal.
const FORM = sql.lit('%Y-%m-%dT%H:%M:%fZ')

/** The time of the statement, as a UTC string. */
export function utcNow(): RawBuilder<string> {
  return sql<string>`strftime(${FORM}, 'now')`
}

/** The time of the statement plus some seconds. */
export function utcIn(seconds: number): RawBuilder<string> {
  return sql<string>`strftime(${FORM}, 'now', ${`+${seconds} seconds`})`
}
