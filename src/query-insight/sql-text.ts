const MAX_SHORTENED = 160
/** Longer statements are truncated before they are scanned: a bulk insert may have 10 MB. */
const MAX_SHORTEN_SCAN = 2_000
const MAX_NORMALIZE_SCAN = 4_000
const MAX_EXPLAINABLE = 1_500

/**
 * Comments, literals and quoted names, in this order, because a quote inside a comment starts no
 * string and vice versa. One that is not closed, in a truncated statement, extends to its end.
 */
const LITERAL =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|\b(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*"?|(?<![\w$.])\d[\w.]*/g

/**
 * Returns a statement for logs and errors: one line of at most 160 characters, without comments,
 * and with `?` for every value, so that no secret leaks. Names stay.
 */
export function shortenSql(sql: string): string {
  const text = hideValues(sql.slice(0, MAX_SHORTEN_SCAN))
  return text.length <= MAX_SHORTENED ? text : `${text.slice(0, MAX_SHORTENED - 1)}…`
}

/**
 * Returns a statement in one line, without comments, and with `mark` for every value. A name in
 * double quotes that stands where a value does is one for SQLite and MySQL.
 */
export function hideValues(sql: string, mark: string | ((value: string) => string) = '?'): string {
  const hide = typeof mark === 'string' ? () => mark : mark
  return sql
    .replace(LITERAL, (found, _tag: unknown, offset: number) => {
      if (found.startsWith('--') || found.startsWith('/*')) return ' '
      if (!found.startsWith('"')) return hide(found)
      return typeof mark === 'string' && isValue(sql, offset, offset + found.length) ? mark : found
    })
    .replace(/\s+/g, ' ')
    .trim()
}

/** The end of the text in front of a value: an operator, or the list of `in` and `values`. */
const BEFORE_VALUE = /\b(?:like|glob|match)\s*$|\b(?:in|values)\s*\([^()]*$/i
/** How much of the text in front of a quoted name is searched. */
const MAX_BEFORE = 200

/** Whether what is quoted there is compared or listed, and not a column of a table (`"a"."b"`). */
function isValue(sql: string, start: number, end: number): boolean {
  if (sql[end] === '.') return false
  let at = start - 1
  while (sql[at] === ' ') at--
  const before = sql[at]
  if (before === '=' || before === '<' || before === '>') return true
  // Most quoted names follow a dot, or a comma of a list of columns.
  return before !== '.' && BEFORE_VALUE.test(sql.slice(Math.max(0, start - MAX_BEFORE), start))
}

/** An item of a list that contains only values. */
const ITEM = String.raw`-?(?:\?\d*|\$\d+|[:@]\w+|null|true|false|default)(?:::[\w[\]]+)?`
const LIST = `${ITEM}(?: ?, ?${ITEM})*`
const IN_LIST = new RegExp(String.raw`\bin ?\((${LIST})(?: ?,? ?$| ?\))`, 'gi')
const ROWS = new RegExp(String.raw`\bvalues ?(\( ?${LIST} ?\)(?: ?, ?\( ?${LIST} ?\))*)`, 'gi')
const LISTS = /\bin ?\(|\bvalues ?\(/i
const ROW_END = /\) ?,/

export interface NormalizedSql {
  /**
   * Equal for statements that differ only in values, lengths of lists, comments and white space.
   */
  readonly text: string
  /** Whether the statement has a list of several values or several rows. */
  readonly many: boolean
}

/**
 * Reduces a statement to what it shares with those that differ from it in values only: values
 * become `?`, lists of values `(…)`, white space a single space, and comments are removed.
 * Placeholders stay; they are renumbered after a list, whose length shifts them.
 */
export function normalizeSql(sql: string): NormalizedSql {
  let many = false
  let moved = false
  const hidden = hideValues(sql.length <= MAX_NORMALIZE_SCAN ? sql : sql.slice(0, MAX_NORMALIZE_SCAN))
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

/** A longer list of columns is omitted: the conditions after it say more about the statement. */
const MAX_COLUMNS = 24

/** Formats a normalized statement for messages: `select … from tests where referral_id = $1`. */
export function formatSql(text: string): string {
  const short = withoutColumns(text)
  return short.length <= MAX_SHORTENED ? short : `${short.slice(0, MAX_SHORTENED - 1)}…`
}

function withoutColumns(text: string): string {
  const start = /^select (?:distinct )?/i.exec(text)
  if (start === null) return text
  const from = outerFrom(text, start[0].length)
  if (from - start[0].length <= MAX_COLUMNS) return text
  return `${start[0]}…${text.slice(from)}`
}

/** The index of ` from ` of the outer query; -1 without one. */
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

const TYPED = /\b(interval|date|time|timestamp|timestamptz) (\$\d+)/gi

/**
 * Returns a statement for `EXPLAIN`, with its literals replaced by further parameters; null for one
 * that is too long. Integers of up to two digits stay, because they are mostly positions and sizes,
 * where no parameter may stand.
 */
export function explainableSql(sql: string): string | null {
  if (sql.length > MAX_EXPLAINABLE) return null
  let last = 0
  for (const [, number] of sql.matchAll(/\$(\d+)/g)) last = Math.max(last, Number(number))
  return hideValues(sql, (value) => (/^\d{1,2}$/.test(value) ? value : `$${++last}`))
    .replace(TYPED, '$2::$1')
    .replace(/ ?;$/, '')
}

/**
 * What a statement does. `read` and `write` handle rows. `control` (transactions, session settings,
 * cursors) is not counted. `other` (DDL, maintenance) is counted and never reported as repeated.
 */
export type StatementRole = 'read' | 'write' | 'control' | 'other'

const ROLES: Readonly<Record<string, StatementRole>> = {
  select: 'read',
  table: 'read',
  values: 'read',
  insert: 'write',
  update: 'write',
  delete: 'write',
  merge: 'write',
  replace: 'write',
  call: 'write',
}

const CONTROL: ReadonlySet<string> = new Set([
  ...'begin start commit end rollback abort savepoint release set reset show discard deallocate prepare'.split(' '),
  ...'listen unlisten notify declare fetch move close lock pragma attach detach explain'.split(' '),
])
const WRITES = /\b(?:insert into|update|delete from|merge into)\b/i

/** @param text a normalized statement */
export function statementRole(text: string): StatementRole {
  const word = (/^[\s(;]*(\w+)/.exec(text)?.[1] ?? '').toLowerCase()
  if (CONTROL.has(word)) return 'control'
  if (word === 'with') return WRITES.test(text) ? 'write' : 'read'
  return ROLES[word] ?? 'other'
}
