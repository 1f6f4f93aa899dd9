import type { Log, LogFields } from '../diagnostics/log.ts'
import type { Outcome } from '../diagnostics/outcomes.ts'
import type { EndedRequest, QueryFinding, RequestQueries } from '../query-insight/request-queries.ts'
import { errorText } from '../redaction/redaction.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { Settings } from '../settings/settings.ts'
import { accessRecord, formatAccessLine } from './access-record.ts'
import { LineBudget, type OmittedLines } from './line-budget.ts'
import { formatOpenWaits } from './open-waits.ts'
import { pathOf, routeOf } from './route-of.ts'
import { type RequestScope, scopes } from './scope.ts'

export type AccessLogSettings = Pick<Settings, 'accessLog' | 'slowRequestThreshold' | 'logLevel' | 'logFormat'>

type OpenLog = (settings: AccessLogSettings) => Promise<Log>
type Level = 'info' | 'warn'
type Line = readonly [level: Level, fields: LogFields, message: string]

/** With `problems`, further lines within a second are counted instead. */
const MAX_LINES_PER_SECOND = 50
/** Lines that are buffered while the log is being loaded. */
const MAX_BUFFERED = 10_000
/**
 * Bytes that a pipe accepts atomically (PIPE_BUF of Linux): several processes write to the same
 * pipe, and must not split each other's lines.
 */
const ATOMIC_WRITE_SIZE = 4_096

const LEVELS: Readonly<Record<Outcome, Level>> = {
  completed: 'info',
  degraded: 'warn',
  'timed-out': 'warn',
  shed: 'warn',
  failed: 'warn',
  'client-disconnected': 'info',
  shutdown: 'warn',
}

/** Whether any line of the access log can be written. */
function writesAccessLog({ accessLog, logLevel }: AccessLogSettings): boolean {
  return accessLog !== 'off' && logLevel !== 'error' && logLevel !== 'fatal' && logLevel !== 'silent'
}

/**
 * Logs every request, or only those with a problem. The log itself (pino) is loaded with the first
 * line, so that a worker without problems does not load it.
 */
export class AccessLog {
  readonly #settings: AccessLogSettings
  readonly #worker: number
  readonly #open: OpenLog
  #writes = false
  #all = false
  #isReady = false
  readonly #budget: LineBudget
  #log: Log | null = null
  #opening: Promise<void> | null = null
  #buffered: Line[] = []
  #lost = 0

  /**
   * @param settings read when needed; call `settingsChanged` after a change
   * @param open creates the log; default: on standard output
   */
  constructor(settings: AccessLogSettings, worker: number, open: OpenLog = openLog) {
    this.#settings = settings
    this.#worker = worker
    this.#open = open
    this.#budget = new LineBudget(MAX_LINES_PER_SECOND, (omitted) => this.#logOmitted(omitted))
    this.settingsChanged()
  }

  settingsChanged(): void {
    this.#writes = writesAccessLog(this.#settings)
    this.#all = this.#writes && this.#settings.accessLog === 'all'
    this.#log?.setLevel(this.#settings.logLevel)
    if (this.#isReady) this.prepare()
  }

  /**
   * Called when the app has been loaded. A log that is certain to be written is created now, not
   * during the first request; and not earlier, because the app's instrumentation must be loaded
   * before the libraries that it instruments.
   */
  prepare(): void {
    this.#isReady = true
    if (this.#all) this.open()
  }

  /** Loads the log now, not with its first line. */
  open(): void {
    if (this.#writes) this.#opening ??= this.#load()
  }

  /**
   * Called for each request that has ended. Never throws: it may run inside the app's `end` call.
   */
  requestEnded(scope: RequestScope, outcome: Outcome): void {
    if (scope.queries !== null) this.#endQueries(scope, scope.queries)
    if (this.#writes && (this.#all || outcome !== 'completed' || scope.age > this.#settings.slowRequestThreshold)) {
      this.#logOutsideRequest(scope, outcome)
    }
  }

  #logOutsideRequest(scope: RequestScope, outcome: Outcome): void {
    // What the log starts (an import, a timer, a write) does not belong to the request.
    scopes.exit(() => {
      try {
        this.#logRequest(scope, outcome)
      } catch {
        // A getter that the app defined on the request has thrown.
        this.#lost++
      }
    })
  }

  #logRequest(scope: RequestScope, outcome: Outcome): void {
    const now = monotonicNow()
    if (!this.#all && !this.#budget.take(now)) {
      this.#budget.omit(outcome, routeOf(scope) ?? pathOf(scope), now)
      return
    }
    const record = accessRecord(scope, outcome, this.#worker, now)
    const { worker, requestId } = record
    // In the text format the message contains the rest.
    const fields = this.#settings.logFormat === 'text' ? { worker, requestId } : record
    this.#write(
      LEVELS[outcome],
      { event: 'request', ...fields },
      formatAccessLine(record, formatOpenWaits(scope.waitsAtTimeout ?? [], now)),
    )
  }

  /** Ends the counting of its queries, and logs what was found. */
  #endQueries(scope: RequestScope, queries: RequestQueries): void {
    scopes.exit(() => {
      try {
        const request = endedRequest(scope)
        const { method, route } = request
        const log = ({ event, did, fields }: QueryFinding): void => {
          const ids = { worker: this.#worker, requestId: scope.id }
          const all = this.#settings.logFormat === 'text' ? ids : { method, route, ...ids, ...fields }
          this.#write('warn', { event, ...all }, `${method} ${route} ${did}`)
        }
        queries.ended(request, this.#writes ? log : null)
      } catch {
        this.#lost++
      }
    })
  }

  #logOmitted({ lines, outcomes, routes }: OmittedLines): void {
    const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`)
    const message = `${lines} more ${lines === 1 ? 'request' : 'requests'} within one second: ${counts.join(', ')}`
    this.#write('warn', { event: 'requests-not-logged', worker: this.#worker, lines, outcomes, routes }, message)
  }

  #write(level: Level, fields: LogFields, message: string): void {
    if (this.#log !== null) {
      this.#log[level](fields, message)
    } else if (this.#buffered.length < MAX_BUFFERED) {
      this.#buffered.push([level, fields, message])
      this.#opening ??= this.#load()
    } else {
      this.#lost++
    }
  }

  async #load(): Promise<void> {
    try {
      const log = await this.#open(this.#settings)
      // The level may have been changed since.
      log.setLevel(this.#settings.logLevel)
      this.#log = log
    } catch (error) {
      console.error(`punctual: cannot open the access log: ${errorText(error)}`)
      // `#opening` stays set, so that it is not tried again with every request.
      this.#buffered = []
      return
    }
    for (const [level, fields, message] of this.#buffered) this.#log[level](fields, message)
    this.#buffered = []
    this.#logLost()
  }

  /** Reports lines lost here; the log reports those that it loses itself. */
  #logLost(): void {
    if (this.#lost === 0) return
    const message = `${this.#lost} lines of the access log were lost: too many at once, or an error while formatting`
    this.#log?.warn({ event: 'log-lines-lost', worker: this.#worker, lostLines: this.#lost }, message)
    this.#lost = 0
  }

  /** Writes what has been logged so far. Never rejects. @param timeout milliseconds */
  flush(timeout: Milliseconds): Promise<void> {
    return this.#complete(timeout, (log, remaining) => log.flush(remaining))
  }

  /** The process exits: writes what can be written at once. */
  flushNow(): void {
    this.#log?.flushNow()
  }

  /** Flushes and closes the log. Never rejects. @param timeout milliseconds */
  close(timeout: Milliseconds): Promise<void> {
    return this.#complete(timeout, (log, remaining) => log.close(remaining))
  }

  async #complete(timeout: Milliseconds, end: (log: Log, timeout: Milliseconds) => Promise<unknown>): Promise<void> {
    this.#budget.flush()
    const opening = this.#opening
    if (opening === null) return
    const write = async (wait: { readonly remaining: Milliseconds }): Promise<void> => {
      await opening
      this.#logLost()
      if (this.#log !== null) await end(this.#log, wait.remaining)
    }
    await withTimeout('access log', timeout, write, { fallback: undefined, parent: null })
  }
}

function endedRequest(scope: RequestScope): EndedRequest {
  const pattern = routeOf(scope)
  return { method: scope.request.method ?? '', route: pattern ?? pathOf(scope), isPattern: pattern !== null }
}

async function openLog({ logLevel, logFormat }: AccessLogSettings): Promise<Log> {
  const { createLog } = await import('../diagnostics/log.ts')
  return createLog({ level: logLevel, format: logFormat, batchSize: ATOMIC_WRITE_SIZE, redacted: true })
}
