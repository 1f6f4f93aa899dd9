import type { Readable } from 'node:stream'

/** A line of the JSON log, or of the output of an app (`msg` is the line, `level` is empty). */
export interface LogLine {
  readonly level: string
  readonly msg: string
  /** Undefined for the output of an app. */
  readonly event?: string
  /** Id of the incident that it reports. */
  readonly incident?: string
  readonly [field: string]: unknown
}

/** Finds a line by its `event`, by a predicate, or, for output of an app, by its text. */
export type WantedLine = string | RegExp | ((line: LogLine) => boolean)

function isWanted(line: LogLine, wanted: WantedLine): boolean {
  if (typeof wanted === 'function') return wanted(line)
  return typeof wanted === 'string' ? line.event === wanted : wanted.test(line.msg)
}

/** Collects the output of a process. */
export class LogLines {
  readonly lines: LogLine[] = []
  /** The complete output. */
  text = ''

  collect(stream: Readable): void {
    let rest = ''
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      this.text += chunk
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.lines.push(parse(line))
    })
  }

  find(wanted: WantedLine): LogLine | undefined {
    return this.lines.find((line) => isWanted(line, wanted))
  }
}

function parse(line: string): LogLine {
  try {
    const value = JSON.parse(line) as Partial<LogLine> | null
    if (typeof value === 'object' && value !== null && typeof value.msg === 'string') {
      return { ...value, level: String(value.level ?? ''), msg: value.msg }
    }
  } catch {
    // Output of the app is not JSON.
  }
  return { level: '', msg: line }
}
