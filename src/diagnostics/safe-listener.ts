/** What a listener of an app may be told: it is also what is said where the listener fails. */
interface Told {
  readonly message: string
}

/**
 * A listener of the app (`onEvent`) that cannot do harm: the toolkit tells its events in the middle of requests, timers and clean-up, where a throw would strand what is
 * under way or end the process. One that throws or rejects becomes a warning of the process, which has the event's message, so that it is not lost.
 *
 * @param of what the listener belongs to, such as `defer "mails"`
 */
export function safeListener<Event extends Told>(
  of: string,
  listener: (event: Event) => unknown,
): (event: Event) => void {
  return (event) => {
    const warn = (error: unknown): void => {
      process.emitWarning(`onEvent of ${of} failed: ${String(error)}; it was told: ${event.message}`, {
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
