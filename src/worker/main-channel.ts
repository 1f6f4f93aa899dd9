import type { FromMain, MainEnvelope } from '../ipc/messages.ts'
import { ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'

/** How long the last word to the arbiter may take before the process leaves anyway. */
const LAST_WORD_LIMIT = ms(500)

/** Tells the arbiter something over the IPC channel. Without an arbiter it is told nobody. */
export function tellArbiter(message: FromMain): void {
  const envelope: MainEnvelope = { punctual: message }
  if (process.connected) process.send?.(envelope, undefined, undefined, () => {})
}

/** The same, and resolves when the message has left, or at the limit. */
export function tellArbiterLast(message: FromMain): Promise<void> {
  return promiseAtMost<void>(LAST_WORD_LIMIT, (resolve) => {
    if (!process.connected || process.send === undefined) return resolve()
    process.send({ punctual: message } satisfies MainEnvelope, undefined, undefined, () => resolve())
  })
}
