import { EXIT } from '../errors/exit-codes.ts'
import type { PunctualError } from '../errors/punctual-error.ts'

/** Prints progress on standard error: standard output holds the result only. */
export function printProgress(progress: string): void {
  process.stderr.write(`${progress}\n`)
}

/**
 * Prints the result and exits: a config file may have left something open that keeps the process.
 */
export function printAndExit(text: string, code: number = EXIT.stopped): Promise<never> {
  return new Promise(() => {
    process.stdout.write(text, () => process.exit(code))
  })
}

/** A result for `--json`. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

/**
 * Prints an error on standard error: `punctual: <message> (<code>)`, or with `json` one line
 * `{"code","message","details"}`.
 */
export function printError(error: PunctualError, json = false): void {
  const { code, message, details = {} } = error
  process.stderr.write(json ? `${JSON.stringify({ code, message, details })}\n` : `punctual: ${message} (${code})\n`)
}
