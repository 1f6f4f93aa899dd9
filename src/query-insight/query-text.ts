import { addKnownFingerprint, Fingerprint, fingerprintKey, knownFingerprint, MAX_KEPT_SQL } from './fingerprint.ts'
import { RecentMap } from './recent-map.ts'
import { hideValues, normalizeSql } from './sql-text.ts'

/** The most texts that are kept. Each query looks its text up once. */
const MAX_TEXTS = 2_000

/** One text of a statement, as it was given to the driver. */
export class QueryText {
  readonly fingerprint: Fingerprint
  /** Whether it has a list of several values or several rows. */
  readonly many: boolean
  readonly #sql: string
  #ranges: ReadonlySet<ParameterKey> | null = null

  constructor(fingerprint: Fingerprint, many: boolean, sql: string) {
    this.fingerprint = fingerprint
    this.many = many
    this.#sql = sql
  }

  /** The parameters that choose a range of rows. */
  get ranges(): ReadonlySet<ParameterKey> {
    this.#ranges ??= rangeParameters(this.#sql)
    return this.#ranges
  }

  /** Whether it reads a range of rows that is written into the text. */
  get readsRange(): boolean {
    return readsRange(this.fingerprint.text)
  }
}

const texts = {
  postgres: new RecentMap<string, QueryText>(MAX_TEXTS),
  sqlite: new RecentMap<string, QueryText>(MAX_TEXTS),
}

/** Returns what is known about a text: one look into a map, unless the text is new. */
export function queryText(sql: string, pool: string, isPostgres: boolean): QueryText {
  const text = (isPostgres ? texts.postgres : texts.sqlite).get(sql)
  return text?.fingerprint.isKnown ? text : readText(sql, pool, isPostgres, text?.fingerprint)
}

/** @param dropped the former fingerprint of this text, which made way for others */
function readText(sql: string, pool: string, isPostgres: boolean, dropped: Fingerprint | undefined): QueryText {
  const { text, many } = normalizeSql(sql)
  const fingerprint =
    knownFingerprint(fingerprintKey(text, isPostgres)) ??
    addKnownFingerprint(dropped ?? new Fingerprint(text, sql, pool, isPostgres))
  const read = new QueryText(fingerprint, many, sql)
  // Longer texts are normalized each time.
  if (sql.length <= MAX_KEPT_SQL) (isPostgres ? texts.postgres : texts.sqlite).set(sql, read)
  return read
}

/** A parameter: its position from 0, or its name. */
export type ParameterKey = number | string

const MAX_RANGE_SCAN = 4_000
const NUMBERED = /\$(\d+)/g
const OTHER = /\?(\d+)?|[:@$]([A-Za-z_]\w*)/g
/** What precedes a value that limits a range of rows. */
const RANGE =
  /(?:(?<![-<>@&|#])[<>]=? ?(?:\( ?[^()]*)?|\b(?:limit|offset|between|fetch first|fetch next) ?\(?|\bbetween \S+ and ?)$/i
/** What precedes a value in a list, which is already a batch. */
const LISTED = /\b(?:in ?\([^()]*, ?|(?:any|all|unnest) ?\( ?)$/i

/**
 * Returns the parameters that choose a range of rows: limits, offsets, bounds of a key, lists. A
 * query repeated with changes in these only reads page after page, or batch after batch.
 */
export function rangeParameters(sql: string): ReadonlySet<ParameterKey> {
  const text = hideValues(sql.length <= MAX_RANGE_SCAN ? sql : sql.slice(0, MAX_RANGE_SCAN), '0')
  const numbered = /\$\d/.test(text)
  const ranges = new Set<ParameterKey>()
  const others = new Set<ParameterKey>()
  let count = 0
  for (const match of text.matchAll(numbered ? NUMBERED : OTHER)) {
    const [, first, name] = match
    const key = name ?? (first === undefined ? count++ : Number(first) - 1)
    const before = text.slice(0, match.index)
    const isRange = RANGE.test(before) || LISTED.test(before) || startsList(before, text.slice(match.index))
    ;(isRange ? ranges : others).add(key)
  }
  // A parameter that is also used elsewhere identifies rows.
  for (const key of others) ranges.delete(key)
  return ranges
}

function startsList(before: string, after: string): boolean {
  return /\bin ?\( ?$/i.test(before) && /^\S+? ?,/.test(after)
}

/** Whether a normalized statement reads a range of rows by values that were written into it. */
export function readsRange(normalized: string): boolean {
  return /\boffset \?|\bfetch (?:first|next) \?/i.test(normalized) || /[<>]=? ?\(?\?.*\blimit \?/i.test(normalized)
}
