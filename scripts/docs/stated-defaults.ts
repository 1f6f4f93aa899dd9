import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

type Default = string | readonly string[]

/** A default that a page states. */
interface Stated {
  readonly setting: string
  readonly value: string
  readonly line: number
}

/** `` `requestTimeout` (30 s) ``, also with more behind a comma. */
const IN_TEXT = /`(\w+)` \((\d[\d.]*(?: ?[a-zA-Z%]+)?)[,)]/g

/**
 * One line for each default of a setting that README or a guide states by hand and that is not the
 * default: in the column "Default" of a table of settings, or in parentheses behind its name.
 */
export async function findWrongDefaults(root: string): Promise<readonly string[]> {
  const { SETTING_NAMES, recordOf }: typeof import('../../src/settings/records.ts') = await import(
    pathToFileURL(join(root, 'src/settings/records.ts')).href
  )
  const defaults = new Map(SETTING_NAMES.map((name) => [name as string, recordOf(name).default]))
  const pages = globSync(['README.md', 'docs/guides/*.md'], { cwd: root }).toSorted()
  return pages.flatMap((page) => wrongDefaults(page, readFileSync(join(root, page), 'utf8'), defaults))
}

export function wrongDefaults(page: string, text: string, defaults: ReadonlyMap<string, Default>): readonly string[] {
  const lines = text.split('\n')
  const faults: string[] = []
  const wrong = (line: number, what: string): void => void faults.push(`${page}:${line} ${what}`)
  for (const { setting, value, line } of [...statedInTables(lines), ...statedInText(lines, defaults)]) {
    const actual = defaults.get(setting)
    if (actual === undefined) wrong(line, `lists \`${setting}\`, which is not a setting`)
    // A list is too long for a cell, which refers to the text.
    else if (typeof actual === 'string' && normalize(value) !== actual)
      wrong(line, `says that the default of \`${setting}\` is ${value}; it is ${actual}`)
  }
  return faults
}

function statedInTables(lines: readonly string[]): readonly Stated[] {
  const stated: Stated[] = []
  /** Of the table of settings that is being read; -1 outside. */
  let column = -1
  for (const [index, text] of lines.entries()) {
    const cells = text.startsWith('|') ? text.split('|').map((cell) => cell.trim()) : []
    const [, name = ''] = cells
    if (cells.length === 0) column = -1
    else if (name === 'Setting') column = cells.indexOf('Default')
    else if (column !== -1 && !name.startsWith('-')) {
      stated.push({ setting: name.replaceAll('`', ''), value: cells[column] ?? '', line: index + 1 })
    }
  }
  return stated
}

function statedInText(lines: readonly string[], defaults: ReadonlyMap<string, Default>): readonly Stated[] {
  return lines.flatMap((text, index) =>
    [...text.matchAll(IN_TEXT)]
      .map(([, setting = '', value = '']) => ({ setting, value, line: index + 1 }))
      .filter(({ setting }) => defaults.has(setting)),
  )
}

/** As a setting is written: `30s` for "30 s". */
function normalize(value: string): string {
  return value.replaceAll('`', '').replace(/^([\d.]+) (?=[a-zA-Z])/, '$1')
}
