/**
 * What an open bracket means for the code inside. `loop`: the body of a loop. `each`: the arguments
 * of `map` or a similar method. `header`: the parentheses after `for` or `while`. `call`: the
 * arguments of another call. `function`: the body of a function. `other`: anything else.
 */
type Bracket = 'loop' | 'each' | 'header' | 'call' | 'function' | 'other'

interface Open {
  readonly kind: Bracket
  /** The body of a loop without braces, which ends with its statement. */
  readonly bare: boolean
  readonly keyword: string
}

const EACH_METHODS = new Set(
  'map forEach flatMap filter reduce reduceRight some every mapSeries eachSeries each'.split(' '),
)
/** Words before a parenthesis that is not a call. */
const STATEMENTS = new Set([
  'if',
  'switch',
  'catch',
  'with',
  'return',
  'await',
  'typeof',
  'of',
  'in',
  'function',
  'throw',
])
/** Words before a brace that opens a block. */
const BLOCKS = new Set(['else', 'try', 'finally'])
/** Words at the end of a line whose statement continues. */
const CONTINUES = new Set(['await', 'return', 'of', 'in', 'new', 'typeof', 'void', 'yield', 'else', 'do', 'async'])

/**
 * Whether one call of the surrounding function may run the code at this position several times: in
 * a loop, or in a function that is an argument of `map` or a similar method. It reads brackets and
 * words without a grammar, so unusual code can mislead it.
 *
 * @param line from 1
 * @param column from 1
 */
export function isInLoop(source: string, line: number, column: number): boolean {
  const end = offsetOf(source, line, column)
  if (end === -1) return false
  const open: Open[] = []
  let previous: SourceToken = { text: '', kind: 'start', newLine: true }
  let beforePrevious = previous
  let closed: Open | null = null
  /** Whether the previous token ended the header of a loop. */
  let afterHeader = false
  for (const token of sourceTokens(source, end)) {
    endBare(open, token, previous, afterHeader)
    if (afterHeader && token.text !== '{' && token.text !== ';') {
      open.push({ kind: 'loop', bare: true, keyword: '' })
    }
    const isBody = afterHeader
    afterHeader = false
    const last = closed
    closed = null
    switch (token.text) {
      case '(':
        open.push(parenthesis(previous, beforePrevious))
        break
      case '{':
        open.push({ kind: isBody || previous.text === 'do' ? 'loop' : brace(previous, last), bare: false, keyword: '' })
        break
      case '[':
      case '${':
        open.push({ kind: 'other', bare: false, keyword: '' })
        break
      case ')':
      case '}':
      case ']':
        while (open.at(-1)?.bare === true) open.pop()
        closed = open.pop() ?? null
        if (token.text === ')' && closed?.kind === 'header') afterHeader = true
        break
    }
    beforePrevious = previous
    previous = token
  }
  if (afterHeader) return true
  return repeats(open)
}

function repeats(open: readonly Open[]): boolean {
  for (let index = open.length - 1; index >= 0; index--) {
    const { kind, keyword } = open[index] as Open
    if (kind === 'loop' || kind === 'each') return true
    // A loop evaluates the condition of `while` each time, but what `for` iterates over once.
    if (kind === 'header' && keyword === 'while') return true
    // A function that is an argument is assumed to run in place; any other runs elsewhere.
    if (kind === 'function') {
      const around = open[index - 1]?.kind
      if (around !== 'call' && around !== 'each') return false
    }
  }
  return false
}

function parenthesis(previous: SourceToken, beforePrevious: SourceToken): Open {
  const { text, kind } = previous
  if (text === 'for' || text === 'while') return { kind: 'header', bare: false, keyword: text }
  if (text === 'await' && beforePrevious.text === 'for') return { kind: 'header', bare: false, keyword: 'for' }
  if (kind !== 'word' || STATEMENTS.has(text)) {
    const isCall = text === ')' || text === ']'
    return { kind: isCall ? 'call' : 'other', bare: false, keyword: text }
  }
  const isEach = EACH_METHODS.has(text) && (beforePrevious.text === '.' || beforePrevious.text === '?.')
  return { kind: isEach ? 'each' : 'call', bare: false, keyword: text }
}

function brace(previous: SourceToken, closed: Open | null): Bracket {
  if (previous.text === '=>') return 'function'
  if (previous.text === ')') {
    return closed !== null && ['if', 'switch', 'catch', 'with'].includes(closed.keyword) ? 'other' : 'function'
  }
  // A brace after a name or a type opens the body of a class, or of a function with a return type.
  if (previous.kind === 'word' && !BLOCKS.has(previous.text) && !CONTINUES.has(previous.text)) return 'function'
  return previous.text === '>' || previous.text === ']' ? 'function' : 'other'
}

/** Closes a loop body without braces: at a semicolon, or at a line that cannot continue it. */
function endBare(open: Open[], token: SourceToken, previous: SourceToken, afterHeader: boolean): void {
  if (afterHeader || open.at(-1)?.bare !== true) return
  const isEnd = previous.text === ';' || (token.newLine && token.kind === 'word' && isComplete(previous))
  if (!isEnd) return
  while (open.at(-1)?.bare === true) open.pop()
}

function isComplete({ kind, text }: SourceToken): boolean {
  return (kind === 'word' && !CONTINUES.has(text)) || kind === 'literal' || text === ')' || text === ']' || text === '}'
}

function offsetOf(source: string, line: number, column: number): number {
  let offset = 0
  for (let number = 1; number < line; number++) {
    const end = source.indexOf('\n', offset)
    if (end === -1) return -1
    offset = end + 1
  }
  return offset + column - 1
}

/** A token of JavaScript or TypeScript. */
interface SourceToken {
  readonly text: string
  readonly kind: 'start' | 'word' | 'literal' | 'mark'
  /** Whether it is the first of its line. */
  readonly newLine: boolean
}

const TOKEN =
  /(\s+)|(\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|([\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*)|(\d[\w.]*|'(?:[^'\\\n]|\\[\s\S])*'?|"(?:[^"\\\n]|\\[\s\S])*"?)|(=>|\?\.|[^\s])/uy
const TEMPLATE = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{|$)/y
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y
/** Words after which a slash starts a regular expression. */
const BEFORE_REGEX = new Set(['return', 'typeof', 'case', 'in', 'of', 'await', 'yield', 'void', 'throw', 'else', 'do'])

/**
 * Yields the tokens that start before `end`. Strings and regular expressions are single tokens; of
 * templates it yields the expressions. It is exact enough to match brackets, not to compile.
 */
function* sourceTokens(source: string, end: number): Generator<SourceToken> {
  /** For each open brace, whether it belongs to `${`. */
  const braces: boolean[] = []
  let newLine = true
  let previous: SourceToken = { text: '', kind: 'start', newLine: true }
  let at = 0
  const make = (text: string, kind: SourceToken['kind']): SourceToken => {
    previous = { text, kind, newLine }
    newLine = false
    return previous
  }
  while (at < end) {
    if (source[at] === '/' && mayBeRegex(previous)) {
      REGEX.lastIndex = at
      const regex = REGEX.exec(source)
      if (regex !== null && !regex[0].startsWith('//') && !regex[0].startsWith('/*')) {
        at = REGEX.lastIndex
        yield make('/', 'literal')
        continue
      }
    }
    TOKEN.lastIndex = at
    const match = TOKEN.exec(source)
    if (match === null) return
    const [text, space, comment, word, literal] = match
    at = TOKEN.lastIndex
    if (space !== undefined || comment !== undefined) {
      if (text.includes('\n')) newLine = true
    } else if (word !== undefined) {
      yield make(text, 'word')
    } else if (literal !== undefined) {
      yield make(text, 'literal')
    } else if (text === '`' || (text === '}' && braces.at(-1) === true)) {
      if (text === '}') {
        braces.pop()
        yield make('}', 'mark')
      }
      TEMPLATE.lastIndex = at
      const opens = TEMPLATE.exec(source)?.[1] === '${'
      at = TEMPLATE.lastIndex === 0 ? source.length : TEMPLATE.lastIndex
      if (opens) braces.push(true)
      yield opens ? make('${', 'mark') : make('`', 'literal')
    } else {
      if (text === '{') braces.push(false)
      else if (text === '}') braces.pop()
      yield make(text, 'mark')
    }
  }
}

function mayBeRegex({ kind, text }: SourceToken): boolean {
  if (kind === 'word') return BEFORE_REGEX.has(text)
  return kind === 'start' || (kind === 'mark' && text !== ')' && text !== ']' && text !== '}')
}
