const LONGEST = 160
/**
 * Longer texts are cut before they are read: a bulk insert of 10 MB is not scanned for the sake of
 * a log line.
 */
const LONGEST_READ = 2_000

/**
 * In this order: a quote inside a comment is no string, and the other way round. Unclosed ones, of
 * a text that was cut, count to its end.
 */
const LITERAL =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|\b(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*"?|(?<![\w$.])\d[\w.]*/g

/**
 * A statement for a log or an error: one line, without comments, and with `?` for every value in
 * it, so that no secret gets out. Names stay.
 */
export function shortenSql(sql: string): string {
  const text = hideValues(sql.slice(0, LONGEST_READ))
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST - 1)}…`
}

/** A statement in one line, without comments, and with `mark` for every value in it. */
export function hideValues(sql: string, mark: string | ((value: string) => string) = '?'): string {
  const hide = typeof mark === 'string' ? () => mark : mark
  return sql
    .replace(LITERAL, (found) => {
      if (found.startsWith('--') || found.startsWith('/*')) return ' '
      return found.startsWith('"') ? found : hide(found)
    })
    .replace(/\s+/g, ' ')
    .trim()
}
