import { stripVTControlCharacters } from 'node:util'

/** How much of what a step prints is kept for the message of its failure. */
const LINES = 30
const LONGEST_LINE = 500
/** A line that never ends must not fill memory. */
const LONGEST_REST = 64 * 1024

/** Splits what a process prints into lines, hands each on, and keeps the last. */
export class OutputTail {
  readonly #lines: string[] = []
  readonly #onLine: (line: string) => void
  readonly #rests = new Map<string, string>()

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  /** @param stream of which the chunk goes on: two that are written to at the same time are not to be mixed within a line */
  add(chunk: string, stream = ''): void {
    const lines = ((this.#rests.get(stream) ?? '') + chunk).split('\n')
    let rest = lines.pop() ?? ''
    if (rest.length > LONGEST_REST) {
      lines.push(rest)
      rest = ''
    }
    this.#rests.set(stream, rest)
    for (const line of lines) this.#keep(line)
  }

  /** No more comes: what has no end of line yet is a line too. */
  end(): void {
    for (const rest of this.#rests.values()) this.#keep(rest)
    this.#rests.clear()
  }

  /** The last lines; empty if nothing was printed. */
  get text(): string {
    return this.#lines.join('\n')
  }

  #keep(line: string): void {
    // Of what was written over itself, as a progress bar is, the last is what was to be read.
    const written = line.trimEnd()
    const told = stripVTControlCharacters(written.slice(written.lastIndexOf('\r') + 1)).slice(0, LONGEST_LINE)
    if (told === '') return
    this.#lines.push(told)
    if (this.#lines.length > LINES) this.#lines.shift()
    this.#onLine(told)
  }
}
