import { appendFileSync, existsSync, readFileSync } from 'node:fs'

/** SIGKILL may cut a write where a page of the file ends, and who comes next appends to what is left. So a line begins and ends by itself. */
const END = ' .'

/** @param file a path, or what is open */
export function appendLines(file: string | number, lines: readonly string[]): void {
  appendFileSync(file, lines.map((line) => `\n${line}${END}`).join(''))
}

/** The lines that were written whole. What was in one that was not has not been settled either, so it comes again. */
export function readLines(file: string): readonly string[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line.endsWith(END)).map((line) => line.slice(0, -END.length))
}
