import type { ReportedError } from '../diagnostics/incident.ts'
import { EXIT, type ExitCode } from '../errors/codes.ts'
import { formatDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import { formatStopFailures } from './reconcile.ts'

/** How the arbiter ended. */
export interface ArbiterEnd {
  readonly code: ExitCode
  readonly why: string
  /** The error that ended it: its own, or that of the worker that exited last. */
  readonly error: ReportedError | null
  /** The failures within the crash window, counted by reason. */
  readonly failures: Readonly<Record<string, number>>
  /** The workers whose shutdown failed: `worker 2 (pid 71): exit code 1`. */
  readonly stopFailures: readonly string[]
}

/** The message for an arbiter that did not stop as asked; null if it did. */
export function formatEnd(end: ArbiterEnd, name: string, settings: Settings): string | null {
  const { code, error, why } = end
  switch (code) {
    case EXIT.stopped:
      return null
    case EXIT.failed:
      if (end.stopFailures.length > 0) return formatStopFailures(end.stopFailures)
      return `${error?.stack ?? ''}\nthe arbiter failed on the event "${why}" and stopped its workers; this is a bug in Punctual, please report it`
    case EXIT.releaseFailed:
      return `the release failed and no worker was started: ${why}`
    case EXIT.crashLoop: {
      const counts = Object.entries(end.failures).map(([reason, times]) => `${times} ${reason}`)
      const { crashLimit, crashWindow } = settings
      const within = crashWindow === UNBOUNDED ? '' : ` within ${formatDuration(crashWindow)}`
      return `workers of ${name} failed ${crashLimit} times${within} (${counts.join(', ')}); the last: ${why}; see \`punctual incidents\``
    }
    default:
      return `${error === null ? '' : `${error.stack}\n`}${name} did not boot: ${why}${portAdvice(error, settings)}`
  }
}

function portAdvice(error: ReportedError | null, { host, port, adminPort }: Settings): string {
  if (error?.code === 'EADDRINUSE' && error.message.endsWith(`:${adminPort}`))
    return `; the admin server listens on it: choose another --admin-port (now ${adminPort})`
  if (error?.code === 'EADDRINUSE')
    return `; another process listens on it: stop it, or choose another --port (now ${port})`
  if (error?.code === 'EACCES') return `; ports below 1024 need privileges: choose another --port (now ${port})`
  if (error?.code === 'EADDRNOTAVAIL')
    return `; this machine does not have that address: choose another --host (now ${host})`
  return ''
}
