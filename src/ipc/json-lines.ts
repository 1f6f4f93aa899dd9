/**
 * Parses newline-delimited JSON, the format of the watchdog's link and the control socket. Accepts
 * chunks of any size and calls `onMessage` with each complete value.
 *
 * @param onFault is called for a line that is not JSON, or too long; the line is skipped
 * @param maxLength characters of a line. Default: 1 MiB.
 */
export function readJsonLines(
  onMessage: (value: unknown) => void,
  onFault: (reason: string) => void,
  maxLength: number = 1024 * 1024,
): (chunk: Buffer | string) => void {
  // The pieces of a line that has no end yet: they are joined once, since a line may be long.
  let pieces: string[] = []
  let length = 0
  return (chunk) => {
    const text = String(chunk)
    let start = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      const line = pieces.join('') + text.slice(start, end)
      start = end + 1
      pieces = []
      length = 0
      if (line === '') continue
      let value: unknown
      try {
        value = JSON.parse(line)
      } catch {
        onFault('a line is not JSON')
        continue
      }
      onMessage(value)
    }
    if (start === text.length) return
    pieces.push(start === 0 ? text : text.slice(start))
    length += text.length - start
    if (length <= maxLength) return
    pieces = []
    length = 0
    onFault(`a line is longer than ${maxLength} characters`)
  }
}

/** The value as one line of JSON, with its newline. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}
