import { distance } from 'fastest-levenshtein'

/**
 * The name most similar to `given`, ignoring case; undefined if none is similar. Up to a third of
 * the characters may differ, and at least two, so that two swapped neighbours are found.
 */
export function nearestName(given: string, names: Iterable<string>): string | undefined {
  const wanted = given.toLowerCase()
  const maxEdits = Math.max(given.length < 4 ? 1 : 2, Math.floor(given.length / 3))
  let [nearest, fewest]: [string | undefined, number] = [undefined, maxEdits + 1]
  for (const name of names) {
    const edits = distance(wanted, name.toLowerCase())
    if (edits < fewest) [nearest, fewest] = [name, edits]
  }
  return nearest
}
