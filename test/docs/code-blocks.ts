import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A fenced `ts` or `js` block of a page. */
export interface CodeBlock {
  /** Relative to the repository: `docs/guides/waits.md`. */
  readonly page: string
  /** Of its opening fence; line n of `code` is line `line + n` of the page. */
  readonly line: number
  readonly language: 'ts' | 'js'
  readonly code: string
  /** What follows the language: `no-check` for a fragment that does not compile by itself. */
  readonly note: string
}

/** The pages with examples: all but the API reference, which has signatures. */
export function findPages(root: string): readonly string[] {
  const pages = globSync('docs/**/*.md', { cwd: root }).filter((page) => !page.endsWith('/api.md'))
  return ['README.md', ...pages.toSorted()]
}

export function findCodeBlocks(root: string): readonly CodeBlock[] {
  return findPages(root).flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8')
    return [...text.matchAll(/^```(ts|js)\b *(.*)\n([\s\S]*?)^```$/gm)].map(
      ({ 1: language, 2: note = '', 3: code = '', index }): CodeBlock => {
        const line = text.slice(0, index).split('\n').length
        return { page, line, language: language === 'js' ? 'js' : 'ts', note, code }
      },
    )
  })
}

/** What the blocks import, as `{ name, from }`. */
export function importsOf(code: string): readonly { readonly name: string; readonly from: string }[] {
  return [...code.matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)'/gm)].flatMap(
    ({ 1: names = '', 2: from = '' }) =>
      names.split(',').map((name) => ({
        name: name
          .trim()
          .replace(/^type /, '')
          .replace(/ as .*/, ''),
        from,
      })),
  )
}
