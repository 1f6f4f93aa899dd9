/** A token of source text; comments and white space are not tokens. */
export interface Token {
  readonly kind: 'word' | 'text' | 'template' | 'regex' | 'mark'
  /** The characters of the token; of a text, those between the quotes. */
  readonly value: string
  /** From 1. */
  readonly line: number
}

const SPACE = /\s+/y
const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|^#![^\n]*/y
const WORD = /[\p{L}\p{N}_$#@\u200c\u200d]+/uy
const TEXT = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y
const TEMPLATE_PART = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y
const REGEX = /\/(?:[^/\\[\n]|\\[^\n]|\[(?:[^\]\\\n]|\\[^\n])*\])+\/[a-z]*/y

/** Words before an expression, where a slash begins a regular expression. */
const BEFORE_EXPRESSION = new Set(
  'return typeof case in of delete void throw new do else await yield instanceof'.split(' '),
)

/**
 * Splits TypeScript into tokens, enough to find imports and calls. Code inside `${}` of a template
 * is code. A regular expression after `)` or `}` is not recognised; the code style has none.
 */
export function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = []
  /** Depth of braces in each template under way, innermost last. */
  const templates: number[] = []
  let at = 0
  let line = 1

  function match(pattern: RegExp): string | undefined {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0]
  }
  function advance(text: string): void {
    at += text.length
    for (const character of text) if (character === '\n') line++
  }
  function take(kind: Token['kind'], text: string, value = text): void {
    tokens.push({ kind, value, line })
    advance(text)
  }
  function templatePart(): void {
    take('template', match(TEMPLATE_PART) ?? '')
    if (source.startsWith('${', at)) {
      templates.push(0)
      advance('${')
    } else advance('`')
  }

  while (at < source.length) {
    const skipped = match(SPACE) ?? match(COMMENT)
    if (skipped !== undefined) {
      advance(skipped)
      continue
    }
    const text = match(TEXT)
    const word = text === undefined ? match(WORD) : undefined
    const character = source[at] ?? ''
    const regex = character === '/' && expressionMayBegin(tokens.at(-1)) ? match(REGEX) : undefined
    const depth = templates.at(-1)
    if (text !== undefined) take('text', text, text.slice(1, -1))
    else if (word !== undefined) take('word', word)
    else if (regex !== undefined) take('regex', regex)
    else if (character === '`') {
      advance('`')
      templatePart()
    } else if (character === '}' && depth === 0) {
      templates.pop()
      advance('}')
      templatePart()
    } else {
      if (depth !== undefined && character === '{') templates[templates.length - 1] = depth + 1
      if (depth !== undefined && character === '}') templates[templates.length - 1] = depth - 1
      take('mark', character)
    }
  }
  return tokens
}

function expressionMayBegin(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'word') return BEFORE_EXPRESSION.has(before.value)
  return before.kind === 'mark' && before.value !== ')' && before.value !== ']' && before.value !== '}'
}
