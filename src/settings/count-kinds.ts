import { accepted, type Kind, type Parsed, refused, refuseUnlessUnbounded, wordKind } from './kind.ts'

function parseWhole(word: string, least: number, most: number, accepts: string): Parsed<number> {
  if (!/^-?\d+$/.test(word)) return refused('invalid', `"${word}" is not a whole number`, `accepted is ${accepts}`)
  const value = Number(word)
  if (value < least) {
    return refused('too-small', `"${word}" is too small`, `the least is ${least}; accepted is ${accepts}`, {
      bound: String(least),
    })
  }
  if (value > most) {
    return refused('too-large', `"${word}" is too large`, `the most is ${most}`, { bound: String(most) })
  }
  return accepted(value)
}

/** A whole number, at least 1 or `least`. */
export function countKind(options: {
  readonly least?: number
  readonly most?: number
  readonly unbounded: boolean
}): Kind<number> {
  const { least = 1 } = options
  const accepts = `a whole number from ${least}${options.unbounded ? ' or unbounded' : ''}`
  return wordKind({
    label: 'count',
    accepts,
    format: formatCount,
    parse(word) {
      if (word === 'unbounded' && options.unbounded) return accepted(Number.POSITIVE_INFINITY)
      const advice = refuseUnlessUnbounded(word, options.unbounded)
      return advice ?? parseWhole(word, least, options.most ?? 1_000_000_000, accepts)
    },
  })
}

/** Far above any machine's use, below what would exhaust it by a slip of the finger. */
const MOST_WORKERS = 512

/** A number of workers, or `auto`. */
export const workersKind: Kind<number> = wordKind({
  label: 'count',
  accepts: 'a whole number from 1, or auto',
  format: formatCount,
  parse(word, context) {
    if (word === 'auto') return accepted(Math.min(context.parallelism, MOST_WORKERS))
    return parseWhole(word, 1, MOST_WORKERS, 'a whole number from 1, or auto')
  },
})

/** A TCP port; 0 takes a free one. */
export const portKind: Kind<number> = wordKind({
  label: 'port',
  accepts: 'a port from 1 to 65535, or 0 for a free one',
  format: formatCount,
  parse(word) {
    return parseWhole(word, 0, 65_535, 'a port from 1 to 65535, or 0 for a free one')
  },
})

/** A part of a whole, up to half of it, written in per cent and read as 0 to 0.5. */
export const shareKind: Kind<number> = wordKind({
  label: 'percent',
  accepts: 'a share from 0% to 50%',
  format: (value) => `${Number((value * 100).toFixed(6))}%`,
  parse(word) {
    const match = /^(\d+(?:\.\d+)?)%$/.exec(word)
    if (match === null) {
      const number = Number(word)
      const what = `"${word}" is not a percentage`
      if (!(number > 0 && number <= 0.5)) return refused('invalid', what, 'accepted is a share from 0% to 50%')
      const suggestion = `${Number((number * 100).toFixed(6))}%`
      return refused('no-unit', what, `write ${suggestion}`, { suggestion })
    }
    const value = Number(match[1]) / 100
    if (value <= 0.5) return accepted(value)
    return refused('too-large', `"${word}" is too large`, 'the most is 50%', { bound: '50%' })
  },
})

function formatCount(value: number): string {
  return value === Number.POSITIVE_INFINITY ? 'unbounded' : String(value)
}
