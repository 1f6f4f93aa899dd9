import { printable } from '../redaction/printable.ts'

export interface Column {
  readonly heading: string
  readonly align: 'left' | 'right'
}

/**
 * Formats a table with two spaces between columns, and a newline after each row. Control characters
 * in cells are escaped.
 */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map((column) => column.heading), ...rows.map((row) => row.map(printable))]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length)))
  return lines
    .map((line) => {
      const cells = columns.map(({ align }, index) => {
        const [cell, width] = [line[index] ?? '', widths[index] ?? 0]
        return align === 'left' ? cell.padEnd(width) : cell.padStart(width)
      })
      return `${cells.join('  ').trimEnd()}\n`
    })
    .join('')
}

/** Wraps a paragraph into indented lines of at most `width`. A longer word is not broken. */
export function wrapText(text: string, width: number, indent: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return `${[...lines, indent + line].join('\n')}\n`
}
