import { inspect } from 'node:util'
import { printableJson, printableLines } from '../redaction/printable.ts'
import { errorFields, errorText, redact, redactAll } from '../redaction/redaction.ts'
import { wallClock } from '../resilience/clock.ts'
import type { Settings } from '../settings/settings.ts'
import { ProcessGlobal } from '../system/process-global.ts'

interface EventWithMessage {
  readonly message: string
}

/** An event of the toolkit: of a queue, a pool, a database, a cache or of deferred routes. */
export interface LoggedEvent {
  readonly severity: 'info' | 'warn' | 'error'
  readonly message: string
  readonly type?: string
  readonly details?: object
  readonly error?: unknown
}

/** Where events go in a worker whose log is JSON. */
export const jsonLog: ProcessGlobal<(event: LoggedEvent) => void> = new ProcessGlobal<(event: LoggedEvent) => void>(
  'jsonLog',
)

/**
 * The default `onEvent`. In a worker whose log is JSON it writes a line of that log. Elsewhere it
 * uses the console: warnings and errors go to standard error, the rest to standard output.
 */
export function logEvent(event: LoggedEvent): void {
  const write = jsonLog.get()
  if (write !== undefined) return write(event)
  const { severity, message, error } = event
  const text = error === undefined ? message : `${message}: ${errorText(error)}`
  console[severity](printableLines(redact(text)))
}

/**
 * Makes the events of this worker lines of the JSON log.
 *
 * @param settings read for each event, because `logLevel` may change
 */
export function logEventsAsJson(settings: Pick<Settings, 'logLevel'>, worker: number): void {
  jsonLog.set(({ severity, message, type, details, error, ...names }) => {
    if (SEVERITIES.indexOf(severity) < SEVERITIES.indexOf(settings.logLevel)) return
    const time = wallClock().toISOString()
    const line = { level: severity, time, pid: process.pid, worker, event: type, ...names, ...details }
    // Synchronous, because an event may be the last thing that a process does.
    const fields = { ...line, ...(error === undefined ? {} : { error: errorFields(error) }), msg: message }
    console.log(printableJson(JSON.stringify(redactAll(fields))))
  })
}

/** From the least severe. */
const SEVERITIES: readonly Settings['logLevel'][] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

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
      process.emitWarning(redact(`onEvent of ${of} failed: ${shown}; the event: ${event.message}`), {
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
