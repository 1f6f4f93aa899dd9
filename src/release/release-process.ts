// The entry of the process that executes a release. The arbiter itself never loads the app's
// modules.

import type { ReleaseFailure } from '../diagnostics/release-report.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { redactAll } from '../redaction/redaction.ts'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { executeRelease } from './execute-release.ts'
import type { FromRelease, ReleaseEnd, ReleaseRequest, ToRelease } from './messages.ts'
import { failureOf, ReleaseError } from './release-error.ts'

/**
 * For killing the step after the parent process died. The lock is released when this process exits.
 */
const ORPHAN_TIMEOUT = ms(8_000)

const abort = new AbortController()
let begun = false

// Ctrl-C in a terminal reaches every process; the parent decides what it means.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

process.on('disconnect', () => {
  abort.abort(
    new ReleaseError('the parent process of the release exited', { phase: 'process', reason: 'parent-exited' }),
  )
  after(ORPHAN_TIMEOUT, () => process.exit(1))
  if (!begun) process.exit(1)
})

process.on('message', (message: ToRelease) => {
  if (message.type === 'abort') abort.abort(new ReleaseError(message.why, { phase: 'process', reason: 'stopped' }))
  else if (!begun) {
    begun = true
    void begin(message.request)
  }
})

async function begin(request: ReleaseRequest): Promise<void> {
  let end: ReleaseEnd
  try {
    end = await executeRelease(request, abort.signal, {
      log: (level, fields, message) => void send({ type: 'log', line: { level, fields, message } }),
      onRecord: (version, record) => void send({ type: 'record', version, record }),
    })
  } catch (error) {
    const message = formatError(error)
    const outcome = abort.signal.aborted ? 'aborted' : 'failed'
    end = { outcome, message, failure: detailsOf(error), version: null, record: null, history: [] }
  }
  await send({ type: 'ended', end })
  process.exit(0)
}

/** The message of an error of ours or of a database is enough; any other needs its stack. */
function formatError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error === abort.signal.reason || error instanceof PunctualError) return error.message
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? `${error.message} (${code})` : (error.stack ?? error.message)
}

function detailsOf(error: unknown): ReleaseFailure {
  if (error instanceof SettingsError)
    return { phase: 'config', reason: 'settings-invalid', sources: error.details.faults.map(({ source }) => source) }
  return failureOf(error)
}

function send(message: FromRelease): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(redactAll(message), () => resolve())
  })
}
