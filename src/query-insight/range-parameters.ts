import { hideValues } from '../database/shorten-sql.ts'

/** Position from 0, or the name. */
export type ParameterKey = number | string

const LONGEST_READ = 4_000
const NUMBERED = /\$(\d+)/g
const OTHER = /\?(\d+)?|[:@$]([A-Za-z_]\w*)/g
/** What stands in front of a value that says where a stretch of rows begins or ends, not whose rows they are. */
const RANGE =
  /(?:(?<![-<>@&|#])[<>]=? ?(?:\( ?[^()]*)?|\b(?:limit|offset|between|fetch first|fetch next) ?\(?|\bbetween \S+ and ?)$/i
/** What stands in front of a value of a list: these come in lots already. */
const LISTED = /\b(?:in ?\([^()]*, ?|(?:any|all|unnest) ?\( ?)$/i

/**
 * The parameters of a statement that tell stretches of rows apart: limits, offsets, what a key is compared with by `<` or `>`, lists. Where a query is
 * repeated with other values in these alone, somebody reads page after page, or lot after lot, which is as it should be.
 */
export function rangeParameters(sql: string): ReadonlySet<ParameterKey> {
  const text = hideValues(sql.length <= LONGEST_READ ? sql : sql.slice(0, LONGEST_READ), '0')
  const numbered = /\$\d/.test(text)
  const ranges = new Set<ParameterKey>()
  const others = new Set<ParameterKey>()
  let count = 0
  for (const match of text.matchAll(numbered ? NUMBERED : OTHER)) {
    const [, first, name] = match
    const key = name ?? (first === undefined ? count++ : Number(first) - 1)
    const before = text.slice(0, match.index)
    const isRange = RANGE.test(before) || LISTED.test(before) || beginsList(before, text.slice(match.index))
    ;(isRange ? ranges : others).add(key)
  }
  // One that stands in both places says whose rows they are.
  for (const key of others) ranges.delete(key)
  return ranges
}

function beginsList(before: string, after: string): boolean {
  return /\bin ?\( ?$/i.test(before) && /^\S+? ?,/.test(after)
}

/** Whether a statement with its values written into it reads a stretch of rows. */
export function readsRange(normalised: string): boolean {
  return /\boffset \?|\bfetch (?:first|next) \?/i.test(normalised) || /[<>]=? ?\(?\?.*\blimit \?/i.test(normalised)
}
