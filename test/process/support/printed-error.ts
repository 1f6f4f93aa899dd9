/**
 * The code of the error that a command printed last: `punctual: <message> (PUNCTUAL_USAGE)`.
 * Undefined if it printed none.
 */
export function printedCode(stderr: string): string | undefined {
  return /(?:^|\n)punctual: .* \((PUNCTUAL_[A-Z_]+)\)\s*$/s.exec(stderr)?.[1]
}
