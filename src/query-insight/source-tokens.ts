/** A word, a literal or a punctuator of JavaScript or TypeScript. */
export interface SourceToken {
  readonly text: string
  readonly kind: 'start' | 'word' | 'literal' | 'mark'
  /** It is the first of its line. */
  readonly newLine: boolean
}

const TOKEN =
  /(\s+)|(\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|([\p{ID_Start}$_#][\p{ID_Continue}$\u200c\u200d]*)|(\d[\w.]*|'(?:[^'\\\n]|\\[\s\S])*'?|"(?:[^"\\\n]|\\[\s\S])*"?)|(=>|\?\.|[^\s])/uy
const TEMPLATE = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{|$)/y
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y
/** After one of these words a slash begins a regular expression. */
const BEFORE_REGEX = new Set(['return', 'typeof', 'case', 'in', 'of', 'await', 'yield', 'void', 'throw', 'else', 'do'])

/**
 * The tokens of a source that begin before `end`; strings and regular expressions as a whole, and of templates what is between `${` and `}`. A tokenizer for
 * reading brackets, not for compiling.
 */
export function* sourceTokens(source: string, end: number): Generator<SourceToken> {
  /** For each open brace whether it is that of a `${`. */
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
