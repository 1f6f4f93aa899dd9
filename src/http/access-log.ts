import type { Log, LogFields } from '../diagnostics/log.ts'
import type { Outcome } from '../diagnostics/outcomes.ts'
import type { EndedRequest, QueryFinding, RequestQueries } from '../diagnostics/request-queries.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { withTimeout } from '../resilience/with-timeout.ts'
import type { Settings } from '../settings/settings.ts'
import { accessRecord } from './access-record.ts'
import { formatAccessLine } from './access-sentence.ts'
import { type LeftOut, LineBudget } from './line-budget.ts'
import { formatOpenWaits } from './open-waits.ts'
import { pathOf, routeOf } from './route-of.ts'
import { type RequestScope, scopes } from './scope.ts'

export type AccessLogSettings = Pick<Settings, 'accessLog' | 'slowRequestThreshold' | 'logLevel' | 'logFormat'>

type OpenLog = (settings: AccessLogSettings) => Promise<Log>
type Level = 'info' | 'warn'
type Line = readonly [level: Level, fields: LogFields, message: string]

/** Lines a second of `problems`, beyond which they are counted. */
const MOST_PROBLEMS = 50
/** Lines that are kept while the log is being loaded. */
const MOST_KEPT = 10_000
/**
 * What a pipe takes whole or not at all (PIPE_BUF of Linux): several processes write to the same
 * one, and none may tear the line of another.
 */
const WHOLE_WRITE = 4_096

const LEVELS: Readonly<Record<Outcome, Level>> = {
  completed: 'info',
  degraded: 'warn',
  'timed-out': 'warn',
  shed: 'warn',
  failed: 'warn',
  'client-disconnected': 'info',
  shutdown: 'warn',
}

/** Whether these settings let any line of the access log be written. */
function writesAccessLog({ accessLog, logLevel }: AccessLogSettings): boolean {
  return accessLog !== 'off' && logLevel !== 'error' && logLevel !== 'fatal' && logLevel !== 'silent'
}

/**
 * A line for every request, or for those only that were a problem. The log itself (pino) is loaded
 * with the first line: a worker without problems does not pay for it.
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
  #kept: Line[] = []
  #lost = 0

  /**
   * @param settings say so with `changed` when they have been changed
   * @param open how the log is made; default: on standard output
   */
  constructor(settings: AccessLogSettings, worker: number, open: OpenLog = openLog) {
    this.#settings = settings
    this.#worker = worker
    this.#open = open
    this.#budget = new LineBudget(MOST_PROBLEMS, (left) => this.#tellLeftOut(left))
    this.settingsChanged()
  }

  /** The settings have been changed. */
  settingsChanged(): void {
    this.#writes = writesAccessLog(this.#settings)
    this.#all = this.#writes && this.#settings.accessLog === 'all'
    this.#log?.setLevel(this.#settings.logLevel)
    if (this.#isReady) this.prepare()
  }

  /**
   * To be called once the app has been loaded: a log that will be written for certain is made now,
   * and not under the first request. Not sooner, because an app's instrumentation wants to come
   * before the libraries that it instruments.
   */
  prepare(): void {
    this.#isReady = true
    if (this.#all) this.#opening ??= this.#load()
  }

  /**
   * To be called for each request that has ended. Never throws: it runs where the app's own code
   * has ended its response.
   */
  requestEnded(scope: RequestScope, outcome: Outcome): void {
    if (scope.queries !== null) this.#endQueries(scope, scope.queries)
    if (this.#writes && (this.#all || outcome !== 'completed' || scope.age > this.#settings.slowRequestThreshold)) {
      this.#tellOutside(scope, outcome)
    }
  }

  #tellOutside(scope: RequestScope, outcome: Outcome): void {
    // Outside of the request: what the log starts (an import, a timer, a write) is none of its
    // waits.
    scopes.exit(() => {
      try {
        this.#tell(scope, outcome)
      } catch {
        // A getter of the app's, on a request it has made its own, has thrown.
        this.#lost++
      }
    })
  }

  #tell(scope: RequestScope, outcome: Outcome): void {
    const now = monotonicNow()
    if (!this.#all && !this.#budget.take(now)) {
      this.#budget.leaveOut(outcome, routeOf(scope) ?? pathOf(scope), now)
      return
    }
    const record = accessRecord(scope, outcome, this.#worker, now)
    const { worker, requestId } = record
    // At a terminal the sentence says it; there only that is added by which more can be found.
    const fields = this.#settings.logFormat === 'text' ? { worker, requestId } : record
    this.#write(
      LEVELS[outcome],
      { event: 'request', ...fields },
      formatAccessLine(record, formatOpenWaits(scope.waitsAtTimeout ?? [], now)),
    )
  }

  /**
   * What counts its queries is told that it has ended, and says what is worth a line of its own.
   */
  #endQueries(scope: RequestScope, queries: RequestQueries): void {
    scopes.exit(() => {
      try {
        const request = endedRequest(scope)
        const { method, route } = request
        const tell = ({ event, did, fields }: QueryFinding): void => {
          const about = { worker: this.#worker, requestId: scope.id }
          const all = this.#settings.logFormat === 'text' ? about : { method, route, ...about, ...fields }
          this.#write('warn', { event, ...all }, `${method} ${route} ${did}`)
        }
        queries.ended(request, this.#writes ? tell : null)
      } catch {
        this.#lost++
      }
    })
  }

  #tellLeftOut({ lines, outcomes, routes }: LeftOut): void {
    const counts = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`)
    const message = `${lines} more ${lines === 1 ? 'request' : 'requests'} within a second: ${counts.join(', ')}`
    this.#write('warn', { event: 'requests-not-logged', worker: this.#worker, lines, outcomes, routes }, message)
  }

  #write(level: Level, fields: LogFields, message: string): void {
    if (this.#log !== null) {
      this.#log[level](fields, message)
    } else if (this.#kept.length < MOST_KEPT) {
      this.#kept.push([level, fields, message])
      this.#opening ??= this.#load()
    } else {
      this.#lost++
    }
  }

  async #load(): Promise<void> {
    try {
      const log = await this.#open(this.#settings)
      // It may have been changed since the log began to be made.
      log.setLevel(this.#settings.logLevel)
      this.#log = log
    } catch (error) {
      console.error('punctual: the access log cannot be opened:', error)
      // `#opening` stays: what cannot be opened once is not tried at every request.
      this.#kept = []
      return
    }
    for (const [level, fields, message] of this.#kept) this.#log[level](fields, message)
    this.#kept = []
    this.#tellLost()
  }

  /** Those lost here; the log itself tells of those it loses. */
  #tellLost(): void {
    if (this.#lost === 0) return
    const message = `${this.#lost} lines of the access log were lost: there were too many at once, or they could not be made`
    this.#log?.warn({ event: 'log-lines-lost', worker: this.#worker, lostLines: this.#lost }, message)
    this.#lost = 0
  }

  /** Writes out what there is, for at most `limit`. Never rejects. */
  async close(limit: Milliseconds): Promise<void> {
    this.#budget.flush()
    const opening = this.#opening
    if (opening === null) return
    const write = async (wait: { readonly remaining: Milliseconds }): Promise<void> => {
      await opening
      this.#tellLost()
      await this.#log?.close(wait.remaining)
    }
    await withTimeout('access log', limit, write, { fallback: undefined, parent: null })
  }
}

function endedRequest(scope: RequestScope): EndedRequest {
  const pattern = routeOf(scope)
  return { method: scope.request.method ?? '', route: pattern ?? pathOf(scope), isPattern: pattern !== null }
}

async function openLog({ logLevel, logFormat }: AccessLogSettings): Promise<Log> {
  const { createLog } = await import('../diagnostics/log.ts')
  return createLog({ level: logLevel, format: logFormat, batchSize: WHOLE_WRITE })
}
