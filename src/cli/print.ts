import { EXIT } from '../errors/codes.ts'
import type { PunctualError } from '../errors/punctual-error.ts'
import { printableJson, printableLines } from '../redaction/printable.ts'
import { NORMALIZED_SQL, redact, redactAll } from '../redaction/redaction.ts'

// Everything that a command prints passes through here: texts of the app, of files and of the
// control socket must neither act on the terminal nor show a secret.

/** Prints progress on standard error: standard output holds the result only. */
export function printProgress(progress: string): void {
  process.stderr.write(`${printableLines(redact(progress))}\n`)
}

/** Prints progress as a line of JSON. */
export function printProgressJson(fields: object): void {
  process.stderr.write(`${printableJson(JSON.stringify(redactAll(fields)))}\n`)
}

/**
 * Prints the result and exits: a config file may have left something open that keeps the process.
 *
 * @param text lines, or JSON from `formatJson`; other control characters are escaped
 */
export function printAndExit(text: string, code: number = EXIT.stopped): Promise<never> {
  return new Promise(() => {
    process.stdout.write(printableLines(text), () => process.exit(code))
  })
}

/** A result for `--json`. */
export function formatJson(value: unknown): string {
  return `${printableJson(JSON.stringify(redactAll(value, NORMALIZED_SQL), null, 2))}\n`
}

/**
 * Prints an error on standard error: `punctual: <message> (<code>)`, or with `json` one line
 * `{"code","message","details"}`.
 */
export function printError(error: PunctualError, json = false): void {
  const { code, message, details = {} } = error
  if (json) printProgressJson({ code, message, details })
  else printProgress(`punctual: ${message} (${code})`)
}

/** Prints an error that is a bug of Punctual, or of the config file, with its stack. */
export function printFailure(error: unknown): void {
  printProgress(`punctual: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
}
