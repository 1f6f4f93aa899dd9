import { inspect } from 'node:util'

interface EventWithMessage {
  readonly message: string
}

interface EventWithSeverity extends EventWithMessage {
  readonly severity: 'info' | 'warn' | 'error'
}

/** The default `onEvent`: warnings and errors go to standard error, the rest to standard output. */
export function logToConsole({ severity, message }: EventWithSeverity): void {
  console[severity](message)
}

/**
 * Wraps an `onEvent` listener of the app. The toolkit emits events inside requests, timers and
 * clean-up, where an error of the listener must not propagate: it becomes a process warning
 * (`PUNCTUAL_LISTENER_FAILED`) with the message of the event.
 *
 * @param of what the listener belongs to, such as `queue "mails"`
 */
export function safeListener<Event extends EventWithMessage>(
  of: string,
  listener: (event: Event) => unknown,
): (event: Event) => void {
  return (event) => {
    const warn = (error: unknown): void => {
      // A value without a prototype has no string form.
      const shown = error instanceof Error ? String(error) : inspect(error)
      process.emitWarning(`onEvent of ${of} failed: ${shown}; the event: ${event.message}`, {
        type: 'PunctualWarning',
        code: 'PUNCTUAL_LISTENER_FAILED',
      })
    }
    try {
      const result = listener(event)
      if (result instanceof Promise) result.catch(warn)
    } catch (error) {
      warn(error)
    }
  }
}
