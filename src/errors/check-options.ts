import { distance } from 'fastest-levenshtein'
import { InvalidOptionError } from './punctual-error.ts'

/** The names of the options that a call has. */
export type OptionNames<Options> = Readonly<Record<keyof Options & string, true>>

/** A name may be half wrong: there are few names, and the next best is the one that was meant. */
const MAX_WRONG = 1 / 2

/**
 * Refuses options that do not exist, which TypeScript finds in TypeScript only. An unknown option
 * whose value is undefined is ignored.
 *
 * @param of the owner of the options, e.g. `guardPool "main"`
 * @param prefix of nested options, with a dot
 * @throws InvalidOptionError with the most similar name, or all names
 */
export function checkOptions(of: string, options: object, names: Readonly<Record<string, true>>, prefix = ''): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionError(of, prefix === '' ? 'options' : prefix.slice(0, -1), options, 'must be an object')
  }
  for (const name in options) {
    if (names[name] === true) continue
    const given = (options as Readonly<Record<string, unknown>>)[name]
    if (given === undefined) continue
    const suggestion = nearestName(name, Object.keys(names), MAX_WRONG)
    const advice = suggestion === undefined ? `use ${Object.keys(names).join(', ')}` : `did you mean ${suggestion}?`
    throw new InvalidOptionError(of, prefix + name, given, `is not an option (${advice})`, suggestion)
  }
}

/**
 * The name most similar to `given`, ignoring case; undefined if none is similar. Up to a third of
 * the characters (`share`) may differ, and at least two, so that two swapped neighbours are found.
 */
export function nearestName(given: string, names: Iterable<string>, share: number = 1 / 3): string | undefined {
  const wanted = given.toLowerCase()
  const maxEdits = Math.max(given.length < 4 ? 1 : 2, Math.floor(given.length * share))
  let [nearest, fewest]: [string | undefined, number] = [undefined, maxEdits + 1]
  for (const name of names) {
    const edits = distance(wanted, name.toLowerCase())
    if (edits < fewest) [nearest, fewest] = [name, edits]
  }
  return nearest
}
