import { type Milliseconds, ms, parseDuration } from './duration.ts'

/** A length of time as an app writes it: `'250ms'`, `'5s'`, `'10m'`, `'1h'`, `'2d'`, `'unbounded'`, or a number of milliseconds. */
export type Limit = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}` | 'unbounded' | number

/** Limits are mostly literals; reading one again costs ten times what looking it up does. */
const known = new Map<string, Milliseconds>()
/** An app that builds its limits from data must not fill the memory. */
const MOST_KNOWN = 1_000

/**
 * The limit in milliseconds. 0 is zero, which has run out at once; without limit is `'unbounded'`.
 *
 * @param what whose limit it is, for the message
 * @throws RangeError when it is no length of time
 */
export function readLimit(what: string, limit: Limit): Milliseconds {
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
  throw new RangeError(
    `${what}: ${typeof limit === 'string' ? JSON.stringify(limit) : String(limit)} is no length of time; ` +
      `write e.g. '250ms', '5s', 'unbounded' or milliseconds from 0 upwards`,
  )
}

/**
 * A count that an app gives in options.
 *
 * @throws RangeError unless it is a whole number from `least` upwards
 */
export function readCount(what: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new RangeError(`${what}: ${String(value)} does not apply; give a whole number from ${least} upwards`)
}
