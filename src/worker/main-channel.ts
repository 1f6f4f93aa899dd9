import type { FromMain, MainEnvelope } from '../protocol/messages.ts'
import type { ReportedError } from '../report/incident.ts'
import { after } from '../wait/clock.ts'
import { ms } from '../wait/duration.ts'

/** How long the last word to the arbiter may take before the process leaves anyway. */
const LAST_WORD_LIMIT = ms(500)

/** Tells the arbiter something over the IPC channel. Without an arbiter it is told nobody. */
export function tellArbiter(message: FromMain): void {
  const envelope: MainEnvelope = { punctual: message }
  if (process.connected) process.send?.(envelope, undefined, undefined, () => {})
}

/** The same, and resolves when the message has left, or at the limit. */
export function tellArbiterLast(message: FromMain): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected || process.send === undefined) return resolve()
    after(LAST_WORD_LIMIT, resolve)
    process.send({ punctual: message } satisfies MainEnvelope, undefined, undefined, () => resolve())
  })
}

/** Whatever was thrown, as it travels. */
export function reportedError(thrown: unknown): ReportedError {
  if (!(thrown instanceof Error)) {
    const message = String(thrown)
    return { name: 'Error', message: `a value that is no Error was thrown: ${message}`, stack: message }
  }
  const { code } = thrown as NodeJS.ErrnoException
  const stack = causes(thrown)
  const error = { name: thrown.name, message: thrown.message, stack }
  return code === undefined ? error : { ...error, code: String(code) }
}

function causes(error: Error, depth = 0): string {
  const own = error.stack ?? `${error.name}: ${error.message}`
  return error.cause instanceof Error && depth < 5 ? `${own}\n  caused by ${causes(error.cause, depth + 1)}` : own
}
