import { stripVTControlCharacters } from 'node:util'

/** Lines that are kept for the error message. */
const MAX_LINES = 30
const MAX_LINE_LENGTH = 500
/** Characters of an unfinished line, so that it cannot fill the memory. */
const MAX_REST = 64 * 1024

/** Splits the output of a process into lines, reports each one, and keeps the last ones. */
export class OutputTail {
  readonly #lines: string[] = []
  readonly #onLine: (line: string) => void
  readonly #rests = new Map<string, string>()

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  /** @param stream where the chunk comes from: lines of two streams are not mixed */
  add(chunk: string, stream = ''): void {
    const lines = ((this.#rests.get(stream) ?? '') + chunk).split('\n')
    let rest = lines.pop() ?? ''
    if (rest.length > MAX_REST) {
      lines.push(rest)
      rest = ''
    }
    this.#rests.set(stream, rest)
    for (const line of lines) this.#keep(line)
  }

  /** Ends the output; a last line may lack its newline. */
  end(): void {
    for (const rest of this.#rests.values()) this.#keep(rest)
    this.#rests.clear()
  }

  /** The last lines; empty if there was no output. */
  get text(): string {
    return this.#lines.join('\n')
  }

  #keep(line: string): void {
    // A progress bar overwrites its line: the last state counts.
    const trimmed = line.trimEnd()
    const text = stripVTControlCharacters(trimmed.slice(trimmed.lastIndexOf('\r') + 1)).slice(0, MAX_LINE_LENGTH)
    if (text === '') return
    this.#lines.push(text)
    if (this.#lines.length > MAX_LINES) this.#lines.shift()
    this.#onLine(text)
  }
}
