import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
const PAGE = join(ROOT, 'docs/benchmarks.md')

/**
 * Replaces the text between `<!-- figures: name -->` and `<!-- end: name -->` in
 * docs/benchmarks.md, and says when and at which commit it was recorded.
 *
 * @throws Error if a marker is missing
 */
export function writeFigures(name: string, text: string): void {
  const page = readFileSync(PAGE, 'utf8')
  const start = `<!-- figures: ${name} -->`
  const end = `<!-- end: ${name} -->`
  const from = page.indexOf(start)
  const to = page.indexOf(end)
  if (from === -1 || to < from) {
    throw new Error(`docs/benchmarks.md has no "${start}" before "${end}"; add both where the figures belong`)
  }
  writeFileSync(PAGE, `${page.slice(0, from + start.length)}\n\n${recorded()}\n\n${text.trim()}\n\n${page.slice(to)}`)
}

function recorded(): string {
  const git = (...args: readonly string[]): string => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
  const changes = git('status', '--porcelain', 'src') === '' ? '' : ', with changes'
  return `Recorded on ${new Date().toISOString().slice(0, 10)}, at commit ${git('rev-parse', '--short', 'HEAD')}${changes}.`
}

/** Formats a Markdown table; the first column is left-aligned, the others right-aligned. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (column === 0 ? (cells[column] ?? '').padEnd(width) : (cells[column] ?? '').padStart(width))).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}
