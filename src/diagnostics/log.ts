import { isatty } from 'node:tty'
import { type Logger, pino, stdTimeFunctions } from 'pino'
import { isPlainJson, printableJson } from '../redaction/printable.ts'
import { errorFields, redact, redactAll } from '../redaction/redaction.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { formatLogLine } from './format-log-line.ts'
import { descriptorSink, streamSink } from './log-sinks.ts'
import { LogWriter } from './log-writer.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/**
 * The fields of a log line. `event` names what happened, in kebab-case, and is stable: programs and
 * tests match the fields, not the message. An `Error` goes under `error`.
 */
export interface LogFields {
  readonly event: string
  readonly [name: string]: unknown
}

/** Writes one line. Never throws and never waits. */
export type WriteLog = (fields: LogFields, message: string) => void

export interface Log {
  readonly trace: WriteLog
  readonly debug: WriteLog
  readonly info: WriteLog
  readonly warn: WriteLog
  readonly error: WriteLog
  readonly fatal: WriteLog
  /**
   * A log that adds these fields to every line. It shares the destination: close only the parent.
   */
  child(fields: Readonly<Record<string, unknown>>): Log
  /** Sets the least severe level that is written; existing children keep theirs. */
  setLevel(level: LogLevel): void
  /** Lines lost so far because the log was not read or could not be written. */
  dropped(): number
  /** Resolves when everything has been written, or after the timeout. */
  flush(timeout: Milliseconds): Promise<void>
  /** The process exits: writes what can be written at once. */
  flushNow(): void
  /**
   * Flushes the buffer, for at most `timeout`. Resolves with the total number of lost lines. Never
   * rejects.
   */
  close(timeout: Milliseconds): Promise<number>
}

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'text'
  /** The destination: a stream or a file descriptor. Default: 1, standard output. */
  readonly stream?: NodeJS.WritableStream | number
  /** Lines beyond this many unread bytes are dropped and counted. Default: 1 MiB. */
  readonly bufferSize?: number
  /** Maximum number of bytes of one write. Default: 64 KiB. */
  readonly batchSize?: number
  /** Colours in text. Default: on a terminal, unless `NO_COLOR` is set. */
  readonly color?: boolean
  /**
   * The caller has redacted what it logs. Default: false. It saves the search of each line of the
   * access log, whose fields are safe, or redacted where they are not.
   */
  readonly redacted?: boolean
}

/**
 * Creates a log on pino. JSON lines have `level` as a word, `time` in ISO 8601, `pid` and `msg`;
 * text is for terminals. Secrets in the fields and the message are redacted, and control characters
 * escaped. A slow or stopped reader costs lines, never time: see `log-writer.ts`.
 */
export function createLog(options: LogOptions): Log {
  const { level, format, stream = 1, bufferSize = 1024 * 1024, batchSize } = options
  const sink = typeof stream === 'number' ? descriptorSink(stream) : streamSink(stream)
  const writer = new LogWriter(sink, bufferSize, batchSize)
  const color = options.color ?? (isTerminal(stream) && (process.env.NO_COLOR ?? '') === '')
  const write =
    format === 'json'
      ? (line: string) => {
          const bytes = Buffer.byteLength(line)
          if (isPlainJson(line, bytes)) writer.write(line, bytes)
          else writer.write(printableJson(line))
        }
      : (line: string) => writer.write(formatLogLine(line, color))
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: (error: unknown) => (error instanceof Error ? errorFields(error) : error) },
    },
    { write },
  )
  writer.onRecovered = (lines) => {
    logger.warn(
      { event: 'log-lines-dropped', droppedLines: lines },
      `${lines} log ${lines === 1 ? 'line was' : 'lines were'} lost because the log was not read`,
    )
  }
  return wrap(logger, writer, options.redacted === true)
}

function wrap(logger: Logger, writer: LogWriter, redacted: boolean): Log {
  const at =
    (level: Exclude<LogLevel, 'silent'>): WriteLog =>
    (fields, message) => {
      // Without arguments pino does not interpret a `%` in the message, such as in a URL.
      if (redacted) logger[level](fields, message)
      else if (logger.isLevelEnabled(level)) logger[level](redactAll(fields), redact(message))
    }
  return {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: (fields) => wrap(logger.child(fields), writer, redacted),
    setLevel: (level) => {
      logger.level = level
    },
    dropped: () => writer.dropped(),
    flush: (timeout) => writer.flush(timeout),
    flushNow: () => writer.flushNow(),
    close: (timeout) => writer.close(timeout),
  }
}

function isTerminal(stream: NodeJS.WritableStream | number): boolean {
  // Not `process.stdout.isTTY`: reading it makes the pipe that workers share non-blocking.
  return typeof stream === 'number' ? isatty(stream) : 'isTTY' in stream && stream.isTTY === true
}
