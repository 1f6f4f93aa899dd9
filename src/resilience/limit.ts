import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import { type Milliseconds, ms, parseDuration } from './duration.ts'

/** A length of time as an app writes it: `'250ms'`, `'5s'`, `'10m'`, `'1h'`, `'2d'`, `'unbounded'`, or a number of milliseconds. */
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
