import type { RawBuilder } from 'kysely'
import { sql } from 'kysely'

// As `Date.prototype.toISOString` writes it, so that texts sort as times do, and JSON is the same over either database.
const FORM = sql.lit('%Y-%m-%dT%H:%M:%fZ')

/** The time of the statement, as a text in UTC. */
export function utcNow(): RawBuilder<string> {
  return sql<string>`strftime(${FORM}, 'now')`
}

/** So many seconds after it. */
export function utcIn(seconds: number): RawBuilder<string> {
  return sql<string>`strftime(${FORM}, 'now', ${`+${seconds} seconds`})`
}
