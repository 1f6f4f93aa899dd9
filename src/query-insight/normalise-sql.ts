import { hideValues } from '../database/shorten-sql.ts'

/** Longer statements are told apart by their beginning only: nobody scans a bulk insert of 10 MB to count it. */
const LONGEST_READ = 4_000
/** What may stand in a list that is only values. */
const ITEM = String.raw`-?(?:\?\d*|\$\d+|[:@]\w+|null|true|false|default)(?:::[\w[\]]+)?`
const LIST = `${ITEM}(?: ?, ?${ITEM})*`
const IN_LIST = new RegExp(String.raw`\bin ?\((${LIST})(?: ?,? ?$| ?\))`, 'gi')
const ROWS = new RegExp(String.raw`\bvalues ?(\( ?${LIST} ?\)(?: ?, ?\( ?${LIST} ?\))*)`, 'gi')
const LISTS = /\bin ?\(|\bvalues ?\(/i
const ROW_END = /\) ?,/

export interface NormalisedSql {
  /** The same for all statements that differ in values, lengths of lists, comments and white space. */
  readonly text: string
  /** It does many at once: a list of more than one value, or several rows. */
  readonly many: boolean
}

/**
 * What a statement has in common with all those that differ from it in their values alone: values are `?`, lists of values `(…)` however long they are,
 * comments are gone and white space is one space. Placeholders stay; after a list they are numbered anew, since its length moves them.
 */
export function normaliseSql(sql: string): NormalisedSql {
  let many = false
  let moved = false
  const hidden = hideValues(sql.length <= LONGEST_READ ? sql : sql.slice(0, LONGEST_READ))
  if (!LISTS.test(hidden)) return { text: hidden.replace(/ ?;$/, ''), many }
  const collapsed = hidden
    .replace(IN_LIST, (_, list: string) => {
      many ||= list.includes(',')
      moved = true
      return 'in (…)'
    })
    .replace(ROWS, (_, rows: string) => {
      many ||= ROW_END.test(rows)
      moved = true
      return 'values (…)'
    })
    .replace(/ ?;$/, '')
  return { text: moved ? renumber(collapsed) : collapsed, many }
}

function renumber(text: string): string {
  const numbers = new Map<string, number>()
  return text.replace(/\$(\d+)/g, (_, number: string) => {
    const known = numbers.get(number) ?? numbers.size + 1
    numbers.set(number, known)
    return `$${known}`
  })
}

const LONGEST_TOLD = 160
/** A longer list of columns says less than what follows it. */
const LONGEST_COLUMNS = 24

/** A normalised statement as a sentence tells it: `select … from referral_tests where referral_id = $1`. */
export function tellSql(text: string): string {
  const told = withoutColumns(text)
  return told.length <= LONGEST_TOLD ? told : `${told.slice(0, LONGEST_TOLD - 1)}…`
}

function withoutColumns(text: string): string {
  const start = /^select (?:distinct )?/i.exec(text)
  if (start === null) return text
  const from = outerFrom(text, start[0].length)
  if (from - start[0].length <= LONGEST_COLUMNS) return text
  return `${start[0]}…${text.slice(from)}`
}

/** Where ` from ` of the outer query begins; -1 where there is none. */
function outerFrom(text: string, start: number): number {
  let depth = 0
  for (let index = start; index < text.length; index++) {
    const character = text[index]
    if (character === '(') depth++
    else if (character === ')') depth--
    else if (character === ' ' && depth === 0 && /^ from /i.test(text.slice(index, index + 6))) return index
  }
  return -1
}
