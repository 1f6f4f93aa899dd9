// The entry of the process that carries out a release. The arbiter starts it, so that it need not load the app's own modules itself.

import type { ReleaseFailure } from '../diagnostics/release-report.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { executeRelease } from './execute-release.ts'
import type { FromRelease, ReleaseEnd, ReleaseRequest, ToRelease } from './messages.ts'
import { failureOf, ReleaseError } from './release-error.ts'

/** After whoever asked has died: for ending the step; the lock ends with this process. */
const LAST_LIMIT = ms(8_000)

const abort = new AbortController()
let begun = false

// A terminal's Ctrl-C reaches everybody; what it means is for whoever started this to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

process.on('disconnect', () => {
  abort.abort(new ReleaseError('whoever started the release has ended', { phase: 'process', reason: 'parent-exited' }))
  after(LAST_LIMIT, () => process.exit(1))
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
      log: (level, fields, message) => void say({ type: 'log', line: { level, fields, message } }),
      onRecord: (version, record) => void say({ type: 'record', version, record }),
    })
  } catch (error) {
    const message = tell(error)
    const outcome = abort.signal.aborted ? 'aborted' : 'failed'
    end = { outcome, message, failure: tellFields(error), version: null, record: null, history: [] }
  }
  await say({ type: 'ended', end })
  process.exit(0)
}

/** An error of ours, or of a database, says all there is; of anything else the stack is wanted. */
function tell(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error === abort.signal.reason || error instanceof PunctualError) return error.message
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? `${error.message} (${code})` : (error.stack ?? error.message)
}

function tellFields(error: unknown): ReleaseFailure {
  if (error instanceof SettingsError)
    return { phase: 'config', reason: 'settings-invalid', sources: error.details.faults.map(({ source }) => source) }
  return failureOf(error)
}

function say(message: FromRelease): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve()
    else process.send(message, () => resolve())
  })
}
