import type { Readable } from 'node:stream'

/** A line of the arbiter's JSON log, or of what an app printed (then `msg` is the line and `level` is empty). */
export interface LogLine {
  readonly level: string
  readonly msg: string
  /** What happened; undefined for what an app printed. */
  readonly event?: string
  /** Id of the incident it tells of. */
  readonly incident?: string
  readonly [field: string]: unknown
}

/** A line is found by its `event`, by a predicate, or, where an app has printed it, by its text. */
export type WantedLine = string | RegExp | ((line: LogLine) => boolean)

function isWanted(line: LogLine, wanted: WantedLine): boolean {
  if (typeof wanted === 'function') return wanted(line)
  return typeof wanted === 'string' ? line.event === wanted : wanted.test(line.msg)
}

/** Collects what a process prints. */
export class LogLines {
  readonly lines: LogLine[] = []
  /** Everything, as it was printed. */
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
    // What the app itself prints is no JSON.
  }
  return { level: '', msg: line }
}
