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
  let rest = ''
  return (chunk) => {
    rest += chunk
    let start = 0
    for (;;) {
      const end = rest.indexOf('\n', start)
      if (end === -1) break
      const text = rest.slice(start, end)
      start = end + 1
      if (text === '') continue
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        onFault('a line is not JSON')
        continue
      }
      onMessage(value)
    }
    rest = rest.slice(start)
    if (rest.length > maxLength) {
      rest = ''
      onFault(`a line is longer than ${maxLength} characters`)
    }
  }
}

/** The value as one line of JSON, with its newline. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`
}
