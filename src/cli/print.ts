import { EXIT } from '../errors/exit-codes.ts'
import type { PunctualError } from '../errors/punctual-error.ts'

/** Says how far a command is. On standard error, so that standard output holds the outcome alone. */
export function printProgress(progress: string): void {
  process.stderr.write(`${progress}\n`)
}

/** Prints the outcome and ends the process: a config file may have left something open that would keep it. */
export function printAndExit(text: string): Promise<never> {
  return new Promise(() => {
    process.stdout.write(text, () => process.exit(EXIT.stopped))
  })
}

/**
 * Prints an error on standard error: `punctual: <message> (<code>)`, or, where the command was asked for JSON, one line
 * `{"code","message","details"}`.
 */
export function printError(error: PunctualError, json = false): void {
  const { code, message, details = {} } = error
  process.stderr.write(json ? `${JSON.stringify({ code, message, details })}\n` : `punctual: ${message} (${code})\n`)
}
