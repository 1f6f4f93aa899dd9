/**
 * One JSON value a line, the form of everything that is said over the watchdog's link and the control socket.
 * Feed it what arrives in whatever pieces; it hands on whole messages.
 *
 * @param onMessage gets each value; what is no JSON is handed to `onFault` and skipped
 * @param longest bytes of a line before it counts as a fault
 */
export function readLines(
  onMessage: (value: unknown) => void,
  onFault: (why: string) => void,
  longest: number = 1024 * 1024,
): (chunk: Buffer | string) => void {
  let rest = ''
  return (chunk) => {
    rest += chunk
    let start = 0
    for (;;) {
      const end = rest.indexOf('\n', start)
      if (end === -1) break
      const line = rest.slice(start, end)
      start = end + 1
      if (line === '') continue
      let value: unknown
      try {
        value = JSON.parse(line)
      } catch {
        onFault('a line is no JSON')
        continue
      }
      onMessage(value)
    }
    rest = rest.slice(start)
    if (rest.length > longest) {
      rest = ''
      onFault(`a line is longer than ${longest} bytes`)
    }
  }
}

export function line(message: unknown): string {
  return `${JSON.stringify(message)}\n`
}
