// Looks harmless: words of letters, with at most one space between them. But each letter may belong to the word before or
// start the next one, and for a text that fits nearly, all ways are tried: the time doubles with every letter.
const NAME = /^([a-z]+ ?)+$/

/** Whether a text is a name in lower case. Exponential in the length of the text when it is not. */
export function checkName(text: string): boolean {
  return NAME.test(text)
}
