import { Fingerprint, fingerprintKey, LONGEST_KEPT } from './fingerprint.ts'
import { knownFingerprint, rememberFingerprint } from './known-fingerprints.ts'
import { normaliseSql } from './normalise-sql.ts'
import { type ParameterKey, rangeParameters, readsRange } from './range-parameters.ts'
import { RecentMap } from './recent-map.ts'

/** Texts that are remembered; each is looked up once a query. */
const MOST_TEXTS = 2_000

/** One text of a statement, as it was given to the driver. */
export class QueryText {
  readonly fingerprint: Fingerprint
  /** It does many at once. */
  readonly many: boolean
  readonly #sql: string
  #ranges: ReadonlySet<ParameterKey> | null = null

  constructor(fingerprint: Fingerprint, many: boolean, sql: string) {
    this.fingerprint = fingerprint
    this.many = many
    this.#sql = sql
  }

  /** Parameters that say which stretch of rows is read. */
  get ranges(): ReadonlySet<ParameterKey> {
    this.#ranges ??= rangeParameters(this.#sql)
    return this.#ranges
  }

  /** With its values written into it, it reads a stretch. */
  get readsRange(): boolean {
    return readsRange(this.fingerprint.text)
  }
}

const texts = {
  postgres: new RecentMap<string, QueryText>(MOST_TEXTS),
  sqlite: new RecentMap<string, QueryText>(MOST_TEXTS),
}

/** What is known of a text; one look into a map, unless it is new. */
export function queryText(sql: string, pool: string, isPostgres: boolean): QueryText {
  const text = (isPostgres ? texts.postgres : texts.sqlite).get(sql)
  return text?.fingerprint.isKnown ? text : readText(sql, pool, isPostgres, text?.fingerprint)
}

/** @param forgotten what this text was, before there were too many others */
function readText(sql: string, pool: string, isPostgres: boolean, forgotten: Fingerprint | undefined): QueryText {
  const { text, many } = normaliseSql(sql)
  const fingerprint =
    knownFingerprint(fingerprintKey(text, isPostgres)) ??
    rememberFingerprint(forgotten ?? new Fingerprint(text, sql, pool, isPostgres))
  const read = new QueryText(fingerprint, many, sql)
  // A longer one is worked out each time.
  if (sql.length <= LONGEST_KEPT) (isPostgres ? texts.postgres : texts.sqlite).set(sql, read)
  return read
}
