import { ownSources } from '../diagnostics/import-chain.ts'

/** A call that is neither for a private port nor with an event (`bus.listen('saved', …)`). */
const LISTEN = /\.listen\s*\((?!\s*(?:0\s*,|\{\s*port:\s*0\b|["'][a-z][\w:.-]*["']))/i
/** Packages with a function `serve` that listens. */
const SERVE_PACKAGES = /["'](?:@hono\/node-server|h3|srvx|srvx\/node)["']/
/** `if (process.env.NAME)`, `if (!process.env.NAME)`, `if (process.env.NAME === 'text')`. */
const CONDITION = /\bif\s*\(\s*(!?)\s*process\.env\.(\w+)\s*(?:([!=])==?\s*(["'])([^"'\n]*)\4\s*)?\)\s*/g
/** `if (cluster.isPrimary)`, also with further conditions: never true in a worker. */
const PRIMARY = /\bif\s*\(\s*(?:cluster\.)?is(?:Primary|Master)\s*(?:&&[^\n)]*)?\)\s*/g

/**
 * Whether the code of the app calls `listen`, now or later: then its default export is for others
 * (tests, a serverless platform), and is not served before. Reads the entry and what it imports,
 * without packages. Comments do not count, nor what a condition on the environment or on being the
 * primary process of a cluster excludes.
 */
export async function mentionsListening(entry: string): Promise<boolean> {
  for await (const source of ownSources(entry)) {
    const code = withoutBranches(withoutComments(source), PRIMARY, () => false)
    const text = withoutBranches(code, CONDITION, holds)
    if (LISTEN.test(text) || (SERVE_PACKAGES.test(text) && /\bserve\s*\(/.test(text))) return true
  }
  return false
}

/** Only comments that begin their line: `//` may be in a string. */
function withoutComments(text: string): string {
  return text.replace(/^[ \t]*(?:\/\/.*|\/\*[\s\S]*?\*\/)/gm, '')
}

/** Removes the branches of conditions that are not taken in this process. */
function withoutBranches(text: string, condition: RegExp, isTrue: (match: RegExpExecArray) => boolean): string {
  let kept = ''
  let at = 0
  for (const match of text.matchAll(condition)) {
    if (match.index < at) continue
    const start = match.index + match[0].length
    const end = endOfStatement(text, start)
    const otherwise = /^\s*else\b\s*/.exec(text.slice(end))?.[0]
    const isTaken = isTrue(match)
    kept += text.slice(at, isTaken ? end : match.index)
    at = end
    if (otherwise !== undefined && isTaken) at = endOfStatement(text, end + otherwise.length)
  }
  return kept + text.slice(at)
}

/** Whether a condition on the environment is true here. */
function holds([, not, name = '', operator, , value]: RegExpExecArray): boolean {
  const actual = process.env[name]
  return operator === undefined ? Boolean(actual) !== (not === '!') : (actual === value) === (operator === '=')
}

/** Where the block or the simple statement that starts here ends. */
function endOfStatement(text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const character = text[at] as string
    if ('([{'.includes(character)) depth++
    else if (')]}'.includes(character)) {
      depth--
      if (depth === 0 && text[start] === '{') return at + 1
      if (depth < 0) return at
    } else if (depth === 0 && (character === ';' || character === '\n')) return at + 1
  }
  return text.length
}
