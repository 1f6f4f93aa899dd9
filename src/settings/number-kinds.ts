import { formatDuration, type Milliseconds, ms, parseDuration, UNBOUNDED } from '../resilience/duration.ts'
import { accepted, type Kind, type Parsed, refused, refuseUnlessUnbounded, wordKind } from './kind.ts'
import type { Bytes } from './settings.ts'

function parseWhole(word: string, min: number, max: number, accepts: string): Parsed<number> {
  if (!/^-?\d+$/.test(word)) return refused('invalid', `"${word}" is not a whole number`, `use ${accepts}`)
  const value = Number(word)
  if (value < min) {
    return refused('too-small', `"${word}" is too small`, `use ${accepts}`, { bound: String(min) })
  }
  if (value > max) {
    return refused('too-large', `"${word}" is too large`, `the maximum is ${max}`, { bound: String(max) })
  }
  return accepted(value)
}

/** A whole number of at least 1, or of at least `min`. */
export function countKind(options: {
  readonly min?: number
  readonly max?: number
  readonly unbounded: boolean
}): Kind<number> {
  const { min = 1 } = options
  const accepts = `a whole number from ${min}${options.unbounded ? ' or unbounded' : ''}`
  return wordKind({
    label: 'count',
    accepts,
    format: formatCount,
    parse(word) {
      if (word === 'unbounded' && options.unbounded) return accepted(Number.POSITIVE_INFINITY)
      const refusal = refuseUnlessUnbounded(word, options.unbounded)
      return refusal ?? parseWhole(word, min, options.max ?? 1_000_000_000, accepts)
    },
  })
}

const RATE = 'bytes a second, a whole number from 1, or off'

/** A minimum rate in bytes a second; `off` is 0. */
export const rateKind: Kind<number> = wordKind({
  label: 'rate',
  accepts: RATE,
  format: (rate) => (rate === 0 ? 'off' : String(rate)),
  parse(word) {
    if (word === 'off') return accepted(0)
    if (word === '0' || word === 'none' || word === 'unbounded') {
      return refused('invalid', `"${word}" is not a rate`, 'for no minimum use off', { suggestion: 'off' })
    }
    return parseWhole(word, 1, 1_000_000_000, RATE)
  },
})

/** More than any machine can use, and too few to exhaust it by a typing error. */
const MAX_WORKERS = 512

/** A number of workers, or `auto`. */
export const workersKind: Kind<number> = wordKind({
  label: 'count',
  accepts: 'a whole number from 1, or auto',
  format: formatCount,
  parse(word, context) {
    if (word === 'auto') return accepted(Math.min(context.parallelism, MAX_WORKERS))
    return parseWhole(word, 1, MAX_WORKERS, 'a whole number from 1, or auto')
  },
})

const PORT = 'a port from 1 to 65535, or 0 for a free one'

/** A TCP port; 0 takes a free one. */
export const portKind: Kind<number> = wordKind({
  label: 'port',
  accepts: PORT,
  format: formatCount,
  parse(word) {
    return parseWhole(word, 0, 65_535, PORT)
  },
})

/** A TCP port, or `off`. */
export const optionalPortKind: Kind<number | 'off'> = wordKind({
  label: 'port',
  accepts: `${PORT}, or off`,
  format: (port) => (port === 'off' ? port : formatCount(port)),
  parse(word) {
    return word === 'off' ? accepted(word) : parseWhole(word, 0, 65_535, `${PORT}, or off`)
  },
})

/** A share of up to a half, written in per cent and parsed as 0 to 0.5. */
export const shareKind: Kind<number> = wordKind({
  label: 'percent',
  accepts: 'a share from 0% to 50%',
  format: formatShare,
  parse(word) {
    const match = /^(\d+(?:\.\d+)?)%$/.exec(word)
    if (match === null) {
      const number = Number(word)
      const what = `"${word}" is not a percentage`
      if (!(number > 0 && number <= 0.5)) return refused('invalid', what, 'use a share from 0% to 50%')
      const suggestion = formatShare(number)
      return refused('no-unit', what, `use ${suggestion}`, { suggestion })
    }
    const value = Number(match[1]) / 100
    if (value <= 0.5) return accepted(value)
    return refused('too-large', `"${word}" is too large`, 'the maximum is 50%', { bound: '50%' })
  },
})

function formatShare(share: number): string {
  return `${Number((share * 100).toFixed(6))}%`
}

function formatCount(value: number): string {
  return value === Number.POSITIVE_INFINITY ? 'unbounded' : String(value)
}

/** Node's timers hold 2^31 - 1 ms, a little more than this. */
const MAX_DURATION = ms(24 * 86_400_000)

/** A duration with its unit. Zero is refused unless `zero`, `unbounded` unless `unbounded`. */
export function durationKind(options: { readonly zero?: boolean; readonly unbounded: boolean }): Kind<Milliseconds> {
  const accepts = `a duration with its unit (250ms, 5s, 10m, 1h)${options.unbounded ? ' or unbounded' : ''}`
  return wordKind({
    label: 'duration',
    accepts,
    format: formatDuration,
    parse(word) {
      const value = parseDuration(word)
      if (value !== undefined && (value !== UNBOUNDED || options.unbounded)) {
        if (value === UNBOUNDED) return accepted(value)
        if (value < 1 && !(value === 0 && options.zero === true)) {
          const bound = options.zero ? '0ms' : '1ms'
          return refused('too-small', `"${word}" is too short`, `the minimum is ${bound}`, { bound })
        }
        if (value > MAX_DURATION) {
          const bound = formatDuration(MAX_DURATION)
          const advice = `the maximum is ${bound}${options.unbounded ? ', or unbounded' : ''}`
          return refused('too-large', `"${word}" is too long`, advice, { bound })
        }
        return accepted(value)
      }
      if (/^0*[1-9]\d*(\.\d+)?$/.test(word)) {
        return refused('no-unit', `"${word}" has no unit`, `use ${word}s or ${word}ms`, { suggestion: `${word}s` })
      }
      const refusal = refuseUnlessUnbounded(word, options.unbounded)
      return refusal ?? refused('invalid', `"${word}" is not a duration`, `use ${accepts}`)
    },
  })
}

const UNITS = { KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824, TiB: 1_099_511_627_776 } as const
const SIZE = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB|TiB)$/

/** A size in binary units, of at least `min`; no limit if `unbounded`. */
export function sizeKind(options: { readonly min: Bytes; readonly unbounded: boolean }): Kind<Bytes> {
  const accepts = `a size with its unit (64KiB, 512MiB, 1GiB)${options.unbounded ? ' or unbounded' : ''}`
  return wordKind({
    label: 'size',
    accepts,
    format: formatSize,
    parse(word) {
      if (word === 'unbounded' && options.unbounded) return accepted(Number.POSITIVE_INFINITY as Bytes)
      const match = SIZE.exec(word)
      if (match !== null) {
        const value = Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]) as Bytes
        if (!Number.isSafeInteger(value)) return refused('too-large', `"${word}" is too large`, `use ${accepts}`)
        if (value >= options.min) return accepted(value)
        const bound = formatSize(options.min)
        return refused('too-small', `"${word}" is too small`, `the minimum is ${bound}`, { bound })
      }
      if (/^0*[1-9]\d*(\.\d+)?$/.test(word)) {
        const suggestion = `${word}MiB`
        return refused('no-unit', `"${word}" has no unit`, `use ${suggestion} or ${word}KiB`, { suggestion })
      }
      const other = /^(\d+(?:\.\d+)?)\s*([kmgt])i?b?$/i.exec(word)
      if (other !== null) {
        const suggestion = `${other[1]}${other[2]?.toUpperCase()}iB`
        return refused('wrong-unit', `"${word}" has an unsupported unit`, `use ${suggestion}`, { suggestion })
      }
      const refusal = refuseUnlessUnbounded(word, options.unbounded)
      return refusal ?? refused('invalid', `"${word}" is not a size`, `use ${accepts}`)
    },
  })
}

/** A size for the constants of `records.ts`. */
export function bytes(value: number, unit: keyof typeof UNITS): Bytes {
  return (value * UNITS[unit]) as Bytes
}

function formatSize(value: Bytes): string {
  if (value === Number.POSITIVE_INFINITY) return 'unbounded'
  for (const unit of ['TiB', 'GiB', 'MiB'] as const) {
    if (value >= UNITS[unit] && value % UNITS[unit] === 0) return `${value / UNITS[unit]}${unit}`
  }
  return `${value / UNITS.KiB}KiB`
}
