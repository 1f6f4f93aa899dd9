import { wallClock } from '../resilience/clock.ts'
import type { Settings } from '../settings/settings.ts'
import { jsonLog } from './safe-listener.ts'

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
    console.log(JSON.stringify({ ...line, ...(error === undefined ? {} : { error: fieldsOf(error) }), msg: message }))
  })
}

/** From the least severe. */
const SEVERITIES: readonly Settings['logLevel'][] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** The same fields as in the other lines of the log. */
function fieldsOf(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  return { type: error.name, message: error.message, stack: error.stack }
}
