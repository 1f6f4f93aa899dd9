import { isatty } from 'node:tty'
import { type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino'
import type { Milliseconds } from '../resilience/duration.ts'
import { formatLogLine } from './format-log-line.ts'
import { descriptorSink, streamSink } from './log-sinks.ts'
import { LogWriter } from './log-writer.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/**
 * Facts beside the message. `event` names what happened, in kebab-case, and is stable: programs and tests match it and the other
 * fields, never the message. An `Error` belongs under `error`.
 */
export interface LogFields {
  readonly event: string
  readonly [name: string]: unknown
}

/** Writes one line. Never throws and never waits, whatever becomes of the reader. */
export type WriteLog = (fields: LogFields, message: string) => void

/** The log, as the rest of Punctual sees it. */
export interface Log {
  readonly trace: WriteLog
  readonly debug: WriteLog
  readonly info: WriteLog
  readonly warn: WriteLog
  readonly error: WriteLog
  readonly fatal: WriteLog
  /** A log that adds these fields to every line. It shares the destination: close only the first. */
  child(fields: Readonly<Record<string, unknown>>): Log
  /** The least severe level that is written from now on; children made before keep theirs. */
  setLevel(level: LogLevel): void
  /** Lines lost so far because nobody read the log, or it could not be written. */
  dropped(): number
  /** Writes out what is buffered, for at most `limit`. Resolves to the number of lines that were lost in all. Never rejects. */
  close(limit: Milliseconds): Promise<number>
}

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'json' | 'text'
  /** Where to: a stream, or a file descriptor. Default: 1, standard output. */
  readonly stream?: NodeJS.WritableStream | number
  /** Lines beyond this many bytes unread are dropped and counted. Default: 1 MiB. */
  readonly bufferSize?: number
  /** The most bytes written at one go. Default: 64 KiB. */
  readonly batchSize?: number
  /** Colour in text. Default: on a terminal, unless `NO_COLOR` is set. */
  readonly color?: boolean
}

/**
 * The log on pino. JSON lines carry `level` as a word, `time` in ISO 8601, `pid` and `msg`; text is for people at a terminal.
 * A reader that is slow, stopped or gone costs lines, never time: see `log-writer.ts`.
 */
export function createLog(options: LogOptions): Log {
  const { level, format, stream = 1, bufferSize = 1024 * 1024, batchSize } = options
  const sink = typeof stream === 'number' ? descriptorSink(stream) : streamSink(stream)
  const writer = new LogWriter(sink, bufferSize, batchSize)
  const color = options.color ?? (isTerminal(stream) && (process.env.NO_COLOR ?? '') === '')
  const write =
    format === 'json'
      ? (line: string) => writer.write(line)
      : (line: string) => writer.write(formatLogLine(line, color))
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    { write },
  )
  writer.onRecovered = (lines) => {
    logger.warn(
      { event: 'log-lines-dropped', droppedLines: lines },
      `${lines} log ${lines === 1 ? 'line was' : 'lines were'} lost: nobody read them`,
    )
  }
  return wrap(logger, writer)
}

function wrap(logger: Logger, writer: LogWriter): Log {
  const at =
    (level: Exclude<LogLevel, 'silent'>): WriteLog =>
    (fields, message) =>
      // The message is a finished sentence: a `%` in it (a URL, say) is no placeholder, and with no arguments pino leaves it alone.
      logger[level](fields, message)
  return {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: (fields) => wrap(logger.child(fields), writer),
    setLevel: (level) => {
      logger.level = level
    },
    dropped: () => writer.dropped(),
    close: (limit) => writer.close(limit),
  }
}

function isTerminal(stream: NodeJS.WritableStream | number): boolean {
  // Not `process.stdout.isTTY`: to touch it would switch a pipe that the workers share to non-blocking.
  return typeof stream === 'number' ? isatty(stream) : 'isTTY' in stream && stream.isTTY === true
}
