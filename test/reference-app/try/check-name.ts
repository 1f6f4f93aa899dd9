// Looks harmless: words of letters, separated by single spaces. But each letter can belong to the
// previous word or start the next one, and for a near match all combinations are tried: the time
// doubles with every letter.
const NAME = /^([a-z]+ ?)+$/

/** Returns whether a text is a lower-case name. Takes exponential time if it is not. */
export function checkName(text: string): boolean {
  return NAME.test(text)
}
