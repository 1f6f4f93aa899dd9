import { type SourceToken, sourceTokens } from './source-tokens.ts'

/**
 * What an open bracket means for the code inside: `loop` is carried out again and again, `each` is given to a method that calls it for each of many, `header`
 * is what stands behind `for` or `while`, `call` are the arguments of a call, `function` is a body that runs when it is called, `other` is all else.
 */
type Bracket = 'loop' | 'each' | 'header' | 'call' | 'function' | 'other'

interface Open {
  readonly kind: Bracket
  /** The body of a loop without braces: it has no closing bracket, and ends with its statement. */
  readonly bare: boolean
  readonly keyword: string
}

const FOR_EACH = new Set(
  'map forEach flatMap filter reduce reduceRight some every mapSeries eachSeries each'.split(' '),
)
/** Words in front of a parenthesis that is no call. */
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
/** Words in front of a brace that is a block. */
const BLOCKS = new Set(['else', 'try', 'finally'])
/** A line that ends with one of these goes on. */
const GOES_ON = new Set(['await', 'return', 'of', 'in', 'new', 'typeof', 'void', 'yield', 'else', 'do', 'async'])

/**
 * Whether what stands at this position is carried out several times by one activation of the function around it: in a loop, or in a function written as the
 * argument of `map` and its like. It reads brackets and words and no grammar, so odd code can mislead it.
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
  /** The header of a loop has just ended. */
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
    // The condition of a `while` is asked each time; what a `for` goes over, once.
    if (kind === 'header' && keyword === 'while') return true
    // A function that is an argument runs where it is written, for what we care; any other, elsewhere.
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
  const isEach = FOR_EACH.has(text) && (beforePrevious.text === '.' || beforePrevious.text === '?.')
  return { kind: isEach ? 'each' : 'call', bare: false, keyword: text }
}

function brace(previous: SourceToken, closed: Open | null): Bracket {
  if (previous.text === '=>') return 'function'
  if (previous.text === ')') {
    return closed !== null && ['if', 'switch', 'catch', 'with'].includes(closed.keyword) ? 'other' : 'function'
  }
  // After a name or a type, what opens is the body of a function with a return type, or of a class.
  if (previous.kind === 'word' && !BLOCKS.has(previous.text) && !GOES_ON.has(previous.text)) return 'function'
  return previous.text === '>' || previous.text === ']' ? 'function' : 'other'
}

/** The statement that is the body of a loop ends at a semicolon, or at a line that cannot be its continuation. */
function endBare(open: Open[], token: SourceToken, previous: SourceToken, afterHeader: boolean): void {
  if (afterHeader || open.at(-1)?.bare !== true) return
  const isEnd = previous.text === ';' || (token.newLine && token.kind === 'word' && isWhole(previous))
  if (!isEnd) return
  while (open.at(-1)?.bare === true) open.pop()
}

function isWhole({ kind, text }: SourceToken): boolean {
  return (kind === 'word' && !GOES_ON.has(text)) || kind === 'literal' || text === ')' || text === ']' || text === '}'
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
