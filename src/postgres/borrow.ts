import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'

/** Enough to get past the frames of a query builder to the app's own. */
const FRAMES = 16
/** Frames of Node, of installed packages and of this room say nothing about who asked. */
const NOT_THE_APP = /node:|[\\/]node_modules[\\/]|\(<anonymous>\)$|at async Promise\./
const OWN_FOLDER: string = import.meta.url.slice(0, import.meta.url.lastIndexOf('/') + 1)

/** One connection that somebody has taken and not yet given back. */
export class Borrow {
  /** Monotonic milliseconds; until it is served, when it was asked for. */
  since: Milliseconds = monotonicNow()
  readonly #operation: string | null
  readonly #place: () => string
  /** Reported as a leak. */
  reported = false

  /** @param place where it was asked for, or the statement it was taken for; called only for a borrow that is shown to somebody */
  constructor(operation: string | null, place: () => string) {
    this.#operation = operation
    this.#place = place
  }

  get age(): Milliseconds {
    return (monotonicNow() - this.since) as Milliseconds
  }

  /** The operation, if it has a name, and the place in the app; put together only when somebody wants to know. */
  get by(): string {
    const place = this.#place()
    return this.#operation === null ? place : `${this.#operation} (${place})`
  }
}

/**
 * Where `connect` was called. V8 notes the frames now, for some 5 to 15 µs, and writes them out as text when `stack` is first read, which happens only
 * for a borrow that is shown to somebody. `pool.query` notes nothing: its statement says who it is.
 */
export function capturePlace(below: (...args: never) => unknown): () => string {
  const before = Error.stackTraceLimit
  const place: { stack?: string } = {}
  try {
    Error.stackTraceLimit = FRAMES
    Error.captureStackTrace(place, below)
    return () => appFrame(place.stack ?? '')
  } finally {
    Error.stackTraceLimit = before
  }
}

/** `at listUsers (/srv/app/users.ts:42:7)` as `listUsers (users.ts:42)`, relative to the working directory. */
export function appFrame(stack: string): string {
  const frames = stack.split('\n').filter((line) => line.startsWith('    at '))
  const frame = frames.find((line) => !NOT_THE_APP.test(line) && !line.includes(OWN_FOLDER)) ?? frames[0]
  if (frame === undefined) return 'an unknown place'
  return frame
    .replace(/^ {4}at (?:async )?/, '')
    .replaceAll('file://', '')
    .replaceAll(`${process.cwd()}/`, '')
    .replace(/:\d+(\)?)$/, '$1')
}
