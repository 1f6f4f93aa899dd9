import { InvalidOptionError } from '../errors/invalid-option-error.ts'

declare const milliseconds: unique symbol

/**
 * A length of time in milliseconds. `unbounded` is the only way to say "without limit"; 0 is zero.
 */
export type Milliseconds = number & { readonly [milliseconds]: true }

/** Without limit. Never 0, null or -1. */
export const UNBOUNDED: Milliseconds = Number.POSITIVE_INFINITY as Milliseconds

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const FORM = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/

/** A duration in milliseconds from a number known to be one. */
export function ms(value: number): Milliseconds {
  return value as Milliseconds
}

/**
 * Reads `250ms`, `5s`, `10m`, `1h`, `2d` or `unbounded`; undefined for anything else, a bare number
 * included.
 */
export function parseDuration(text: string): Milliseconds | undefined {
  if (text === 'unbounded') return UNBOUNDED
  const match = FORM.exec(text)
  if (match === null) return undefined
  return ms(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS])
}

/** The shortest exact form that `parseDuration` reads back: `90s` is `90s`, `60s` is `1m`. */
export function formatDuration(value: Milliseconds): string {
  if (value === UNBOUNDED) return 'unbounded'
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (value >= UNITS[unit] && value % UNITS[unit] === 0) return `${value / UNITS[unit]}${unit}`
  }
  return `${value}ms`
}

/** A length of time for a sentence: `212 ms`, `5.0 s`, `3.2 min`. */
export function formatElapsed(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`
  if (value < 120_000) return `${(value / 1_000).toFixed(1)} s`
  return `${(value / 60_000).toFixed(1)} min`
}

/**
 * A length of time as an app writes it: `'250ms'`, `'5s'`, `'10m'`, `'1h'`, `'2d'`, `'unbounded'`,
 * or a number of milliseconds.
 */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}` | 'unbounded' | number

/** Limits are mostly literals; reading one again costs ten times what looking it up does. */
const known = new Map<string, Milliseconds>()
/** An app that builds its limits from data must not fill the memory. */
const MOST_KNOWN = 1_000

/**
 * The limit in milliseconds. 0 is zero, which has run out at once; without limit is `'unbounded'`.
 *
 * @param of whose option it is, for the message: `the bulkhead "partner"`
 * @param option its name
 * @throws InvalidOptionError unless it is a duration
 */
export function readDuration(of: string, option: string, limit: Duration): Milliseconds {
  if (typeof limit === 'number') {
    if (limit >= 0) return ms(limit)
  } else {
    const found = known.get(limit)
    if (found !== undefined) return found
    const read = typeof limit === 'string' ? parseDuration(limit) : undefined
    if (read !== undefined) {
      if (known.size < MOST_KNOWN) known.set(limit, read)
      return read
    }
  }
  const must = "must be a duration: '250ms', '5s', 'unbounded' or a number of milliseconds of at least 0"
  throw new InvalidOptionError(of, option, limit, must)
}

/**
 * A count that an app gives in options.
 *
 * @param of whose option it is, for the message
 * @param option its name
 * @throws InvalidOptionError unless it is a whole number of at least `least`
 */
export function readCount(of: string, option: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new InvalidOptionError(of, option, value, `must be a whole number of at least ${least}`)
}
