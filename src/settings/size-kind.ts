import { accepted, type Kind, refused, refuseUnlessUnbounded, wordKind } from './kind.ts'
import type { Bytes } from './settings.ts'

const UNITS = { KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824, TiB: 1_099_511_627_776 } as const
const FORM = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB|TiB)$/

/** A size in binary units, not below `least`; no limit if `unbounded`. */
export function sizeKind(options: { readonly least: Bytes; readonly unbounded: boolean }): Kind<Bytes> {
  const accepts = `a size with its unit (64KiB, 512MiB, 1GiB)${options.unbounded ? ' or unbounded' : ''}`
  return wordKind({
    label: 'size',
    accepts,
    format: formatSize,
    parse(word) {
      if (word === 'unbounded' && options.unbounded) return accepted(Number.POSITIVE_INFINITY as Bytes)
      const match = FORM.exec(word)
      if (match !== null) {
        const value = Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]) as Bytes
        if (!Number.isSafeInteger(value))
          return refused('too-large', `"${word}" is too large`, `accepted is ${accepts}`)
        if (value >= options.least) return accepted(value)
        const bound = formatSize(options.least)
        return refused('too-small', `"${word}" is too small`, `the least is ${bound}`, { bound })
      }
      if (/^0*[1-9]\d*(\.\d+)?$/.test(word)) {
        const advice = `write ${word}MiB or ${word}KiB`
        return refused('no-unit', `"${word}" has no unit`, advice, { suggestion: `${word}MiB` })
      }
      const other = /^(\d+(?:\.\d+)?)\s*([kmgt])i?b?$/i.exec(word)
      if (other !== null) {
        const suggestion = `${other[1]}${other[2]?.toUpperCase()}iB`
        return refused('wrong-unit', `"${word}" has another unit`, `write ${suggestion}`, { suggestion })
      }
      const advice = refuseUnlessUnbounded(word, options.unbounded)
      return advice ?? refused('invalid', `"${word}" is not a size`, `accepted is ${accepts}`)
    },
  })
}

/** Reads sizes that are known to be right: the constants of `records.ts`. */
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
