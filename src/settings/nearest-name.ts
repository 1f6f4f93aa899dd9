import { distance } from 'fastest-levenshtein'

/**
 * The name most like `given`, or undefined if none is like it: more than a third of its characters would have to change, and more than
 * two, which is what swapping neighbours counts. Case does not count.
 */
export function nearestName(given: string, names: Iterable<string>): string | undefined {
  const wanted = given.toLowerCase()
  const most = Math.max(given.length < 4 ? 1 : 2, Math.floor(given.length / 3))
  let [nearest, least]: [string | undefined, number] = [undefined, most + 1]
  for (const name of names) {
    const edits = distance(wanted, name.toLowerCase())
    if (edits < least) [nearest, least] = [name, edits]
  }
  return nearest
}
