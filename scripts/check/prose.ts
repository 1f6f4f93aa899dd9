import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Words that plain technical English has better ones for. */
const UNWANTED =
  /\b(?:nobody|whoever|somebody|anew|whatever|for ever|is told|has left|lies in|stood|by and by|not to be had)\b/i
const COMMENT = /^\s*(?:\/\/|\/\*|\*(?!\/))/
/** Directives cannot be wrapped, and neither can addresses. */
const UNBREAKABLE = /biome-ignore|https?:\/\//
const WIDEST_COMMENT = 100
const TITLE = /^\s*(?:await )?(?:t\.)?(?:test|it|describe)(?:\.\w+)?\(\s*(['"`])(?<title>.*?)\1/

const PROSE = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/**/*.md', 'bin/**/*.js', 'examples/**/*.ts']
const CODE = ['src/**/*.{ts,js,html,css}']
const TESTS = ['test/**/*.ts', 'scripts/**/*.ts']

/**
 * Unwanted words in code, docs and titles of tests, and comments that are too wide, each as a line
 * that says where.
 */
export function checkProse(root: string): readonly string[] {
  return [
    ...linesOf(root, [...PROSE, ...CODE]).flatMap((line) => [...wordFault(line, line.text), ...widthFault(line)]),
    ...linesOf(root, TESTS).flatMap((line) => [
      ...wordFault(line, TITLE.exec(line.text)?.groups?.title ?? ''),
      ...widthFault(line),
    ]),
  ]
}

interface Line {
  readonly path: string
  /** From 1. */
  readonly number: number
  readonly text: string
}

function linesOf(root: string, patterns: readonly string[]): readonly Line[] {
  return globSync(patterns, { cwd: root, exclude: ['**/node_modules/**'] })
    .toSorted()
    .flatMap((path) =>
      readFileSync(join(root, path), 'utf8')
        .split('\n')
        .map((text, index) => ({ path, number: index + 1, text })),
    )
}

function wordFault({ path, number }: Line, text: string): readonly string[] {
  const word = UNWANTED.exec(text)?.[0]
  return word === undefined ? [] : [`${path}:${number}: write plain English instead of "${word}"`]
}

function widthFault({ path, number, text }: Line): readonly string[] {
  if (path.endsWith('.md') || text.length <= WIDEST_COMMENT) return []
  if (!COMMENT.test(text) || UNBREAKABLE.test(text)) return []
  return [`${path}:${number}: the comment has ${text.length} columns; wrap it at ${WIDEST_COMMENT}`]
}
