import { formatDuration, type Milliseconds, ms, parseDuration, UNBOUNDED } from '../resilience/duration.ts'
import { accepted, type Kind, refused, refuseUnlessUnbounded, wordKind } from './kind.ts'

/** The platform's timers hold 2^31 - 1 ms, a little more than this. */
const LONGEST = ms(24 * 86_400_000)

/** A length of time with its unit. Zero is refused unless `zero`, no limit unless `unbounded`. */
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
          return refused('too-small', `"${word}" is too short`, `the least is ${bound}; accepted is ${accepts}`, {
            bound,
          })
        }
        if (value > LONGEST) {
          const bound = formatDuration(LONGEST)
          const most = `the most is ${bound}${options.unbounded ? ', or unbounded' : ''}`
          return refused('too-large', `"${word}" is too long`, most, { bound })
        }
        return accepted(value)
      }
      if (/^0*[1-9]\d*(\.\d+)?$/.test(word)) {
        return refused('no-unit', `"${word}" has no unit`, `write ${word}s or ${word}ms`, { suggestion: `${word}s` })
      }
      const advice = refuseUnlessUnbounded(word, options.unbounded)
      return advice ?? refused('invalid', `"${word}" is not a duration`, `accepted is ${accepts}`)
    },
  })
}
