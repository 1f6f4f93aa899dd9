import { InvalidOptionError } from '../errors/punctual-error.ts'

declare const milliseconds: unique symbol

/** A duration in milliseconds. `UNBOUNDED` is the only value for "no limit"; 0 is zero. */
export type Milliseconds = number & { readonly [milliseconds]: true }

/** No limit. Never 0, null or -1. */
export const UNBOUNDED: Milliseconds = Number.POSITIVE_INFINITY as Milliseconds

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const FORM = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/

/** Marks a number as a duration in milliseconds. */
export function ms(value: number): Milliseconds {
  return value as Milliseconds
}

/**
 * Reads `250ms`, `5s`, `10m`, `1h`, `2d` or `unbounded`; undefined for any other text, such as a
 * bare number.
 */
export function parseDuration(text: string): Milliseconds | undefined {
  if (text === 'unbounded') return UNBOUNDED
  const match = FORM.exec(text)
  if (match === null) return undefined
  return ms(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS])
}

/** The shortest exact text that `parseDuration` reads: `90s` for 90 seconds, `1m` for 60. */
export function formatDuration(value: Milliseconds): string {
  if (value === UNBOUNDED) return 'unbounded'
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (value >= UNITS[unit] && value % UNITS[unit] === 0) return `${value / UNITS[unit]}${unit}`
  }
  return `${value}ms`
}

/** A duration for a message: `212 ms`, `5.0 s`, `3.2 min`. */
export function formatElapsed(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`
  if (value < 120_000) return `${(value / 1_000).toFixed(1)} s`
  return `${(value / 60_000).toFixed(1)} min`
}

/**
 * A duration in an option: `'250ms'`, `'5s'`, `'10m'`, `'1h'`, `'2d'`, `'unbounded'` or
 * milliseconds.
 */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}` | 'unbounded' | number

/** Durations are mostly literals, and parsing takes ten times as long as a look-up. */
const known = new Map<string, Milliseconds>()
/** A bound, because an app may compute its durations. */
const MAX_KNOWN = 1_000

/**
 * Reads the duration in an option. 0 means at once, `'unbounded'` no limit.
 *
 * @param of whose option it is, for the message: `the bulkhead "partner"`
 * @param option the name of the option
 * @returns milliseconds
 * @throws InvalidOptionError unless it is a duration
 */
export function readDuration(of: string, option: string, duration: Duration): Milliseconds {
  if (typeof duration === 'number') {
    if (duration >= 0) return ms(duration)
  } else {
    const found = known.get(duration)
    if (found !== undefined) return found
    const read = typeof duration === 'string' ? parseDuration(duration) : undefined
    if (read !== undefined) {
      if (known.size < MAX_KNOWN) known.set(duration, read)
      return read
    }
  }
  const must = "must be a duration: '250ms', '5s', 'unbounded' or a number of milliseconds of at least 0"
  throw new InvalidOptionError(of, option, duration, must)
}

/**
 * Checks a count in an option.
 *
 * @param of whose option it is, for the message
 * @param option the name of the option
 * @throws InvalidOptionError unless it is a whole number of at least `least`
 */
export function readCount(of: string, option: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new InvalidOptionError(of, option, value, `must be a whole number of at least ${least}`)
}
