import { importsOf } from './imports.ts'
import type { Token } from './tokens.ts'

export interface RawTimer {
  readonly what: string
  readonly line: number
}

const GLOBALS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'])
const MEMBERS: readonly (readonly [object: string, member: string])[] = [
  ['Date', 'now'],
  ['Promise', 'race'],
  ['AbortSignal', 'timeout'],
  ['globalThis', 'setTimeout'],
  ['globalThis', 'setInterval'],
]
const MODULES = new Set(['timers', 'timers/promises', 'node:timers', 'node:timers/promises'])

/**
 * The platform's timers and clocks that a file uses, without methods of such a name
 * (`socket.setTimeout`).
 */
export function rawTimersOf(tokens: readonly Token[]): readonly RawTimer[] {
  const found: RawTimer[] = []
  for (const { specifier, line } of importsOf(tokens)) {
    if (MODULES.has(specifier)) found.push({ what: `import of ${specifier}`, line })
  }
  tokens.forEach((token, index) => {
    const what = token.kind === 'word' ? rawTimerAt(tokens, index) : undefined
    if (what !== undefined) found.push({ what, line: token.line })
  })
  return found
}

function rawTimerAt(tokens: readonly Token[], index: number): string | undefined {
  const word = tokens[index]?.value ?? ''
  const isMember = tokens[index - 1]?.value === '.'
  if (!isMember && GLOBALS.has(word)) return word
  const member = tokens[index + 1]?.value === '.' ? tokens[index + 2]?.value : undefined
  if (!isMember && MEMBERS.some(([object, name]) => word === object && member === name)) return `${word}.${member}`
  // `new Date(text)` only converts; without an argument it reads the clock.
  const called = tokens[index + 1]?.value === '('
  if (word === 'new' && tokens[index + 1]?.value === 'Date') {
    const empty = tokens[index + 2]?.value !== '(' || tokens[index + 3]?.value === ')'
    return empty ? 'new Date()' : undefined
  }
  if (word === 'Date' && called && tokens[index - 1]?.value !== 'new' && !isMember) return 'Date()'
  return undefined
}
