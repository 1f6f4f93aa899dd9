import type { Milliseconds } from '../resilience/duration.ts'

declare const bytes: unique symbol

/** A size in bytes; `unbounded` is Infinity. */
export type Bytes = number & { readonly [bytes]: true }

/** The settings of one arbiter, resolved; some change while it runs (`hot` in their record). Each has its record (name, default, prose) in `records.ts`. */
export interface Settings {
  /** How many workers serve; `auto` has been resolved to the available parallelism. */
  readonly workers: number
  readonly host: string
  readonly port: number
  readonly adminHost: string
  /** Port of the admin server; 0 takes a free one. */
  readonly adminPort: number
  /** Absolute path of the state directory (`.punctual`). */
  readonly stateDir: string
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** `auto` has been resolved: text on a terminal, json elsewhere. */
  readonly logFormat: 'json' | 'text'
  /** Modules every worker imports before anything of the app, in order. */
  readonly import: readonly string[]

  readonly stallReportAfter: Milliseconds
  readonly stallInterruptAfter: Milliseconds
  readonly stallKillAfter: Milliseconds
  /** How far a stall may be taken: told only, cut, or killed. */
  readonly stallAction: 'report' | 'interrupt' | 'kill'
  /** The arbiter's own limit for a worker of which nothing beats any more (SIGSTOP, swap). */
  readonly frozenKillAfter: Milliseconds

  readonly bootTimeout: Milliseconds
  /** Whether a worker is ready before its deferred routes are loaded, or only then. */
  readonly readyWhen: 'critical' | 'all'
  /** A boot that took longer is told with the imports that cost most. */
  readonly slowBootThreshold: Milliseconds
  /** Whether every import of a boot is measured. */
  readonly bootProfile: 'on' | 'off'
  readonly requestTimeout: Milliseconds
  /** The most that is believed of what a proxy says a request has waited. */
  readonly maxProxyQueueTime: Milliseconds
  /** What a request is answered whose deadline has passed. */
  readonly timeoutStatus: '503' | '504'
  /** Whether outgoing HTTP calls say how much time is left of their request. */
  readonly propagateDeadline: 'on' | 'off'
  readonly keepAlive: Milliseconds
  /** From the order to drain until requests still unanswered get a 503. */
  readonly drainTimeout: Milliseconds
  /** From the order to drain until the worker is killed. */
  readonly stopTimeout: Milliseconds
  /** How long upgraded (WebSocket) connections may stay while a worker drains. */
  readonly upgradeGrace: Milliseconds

  /** Whether too much to do is met: not at all, by counting what would be done, or by shedding. */
  readonly loadShedding: 'off' | 'dry-run' | 'on'
  /** Requests in work at a time, in each worker; Infinity is without limit. */
  readonly maxConcurrentRequests: number
  /** Requests that may wait to be let in, in each worker. */
  readonly maxQueuedRequests: number
  /** What a request may have waited before that counts as too long. */
  readonly queueTarget: Milliseconds
  /** For how long all of them must have waited too long before any is shed. */
  readonly queueInterval: Milliseconds
  /** Prefixes of the paths that are never held up or shed. */
  readonly priorityRoutes: readonly string[]

  /** Requests after which a worker is replaced; Infinity is never. */
  readonly maxRequests: number
  /** Share of a limit (0 to 1) by which it is spread at random, so that workers are not replaced together. */
  readonly recycleJitter: number
  readonly maxMemory: Bytes
  /** Consecutive samples (one a second) above `maxMemory` before the worker is replaced. */
  readonly maxMemorySamples: number
  readonly maxLifetime: Milliseconds

  /** What is released; `auto` is found out from git and package.json. */
  readonly releaseVersion: string
  /** For the back-up and all steps together; what a roll-back may take too. */
  readonly releaseTimeout: Milliseconds
  /** How long a release of another is waited for. */
  readonly releaseLockTimeout: Milliseconds
  /** How long a statement of a step may wait for a lock of the database; Infinity leaves it to the database. */
  readonly releaseTableLockTimeout: Milliseconds

  readonly restartDelayMin: Milliseconds
  readonly restartDelayMax: Milliseconds
  /** Health without a failure after which the delay starts again at its minimum. */
  readonly restartReset: Milliseconds
  /** Failures within `crashWindow` that make a crash loop; Infinity never gives up. */
  readonly crashLimit: number
  readonly crashWindow: Milliseconds

  /** Which requests get a line in the log. */
  readonly accessLog: 'off' | 'problems' | 'all'
  /** A request that took longer is a problem for the access log. */
  readonly slowRequestThreshold: Milliseconds
  readonly serverTiming: 'on' | 'off'
  /** Whether it is seen what requests wait for that has no name. */
  readonly traceWaits: 'on' | 'off'
  /** Runs of one query from one place in a request that are told; Infinity tells none. */
  readonly repeatedQueryThreshold: number
  /** Queries that a request may run before that is told; Infinity is without limit. */
  readonly maxQueriesPerRequest: number

  /** How many incident files are kept. */
  readonly maxIncidents: number
  readonly maxIncidentSize: Bytes
}

/** Where the value of a setting comes from, in rising precedence; `set` is by `punctual set`, while Punctual ran. */
export type Origin = 'default' | 'file' | 'environment' | 'flag' | 'set'
