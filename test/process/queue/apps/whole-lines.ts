import { appendFileSync, existsSync, readFileSync } from 'node:fs'

/** SIGKILL may truncate a write, and the next process appends: each line has its own end. */
const END = ' .'

/** @param file a path or a descriptor */
export function appendLines(file: string | number, lines: readonly string[]): void {
  appendFileSync(file, lines.map((line) => `\n${line}${END}`).join(''))
}

/** The complete lines. The item of an incomplete line was not settled, so it is delivered again. */
export function readLines(file: string): readonly string[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line.endsWith(END)).map((line) => line.slice(0, -END.length))
}
