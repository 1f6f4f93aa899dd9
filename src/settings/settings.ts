import type { Milliseconds } from '../resilience/duration.ts'
import type { Written } from './kind.ts'

declare const bytes: unique symbol

/** A size in bytes; `unbounded` is Infinity. */
export type Bytes = number & { readonly [bytes]: true }

/**
 * The resolved settings of an arbiter; for durations, counts and sizes `unbounded` is Infinity. The
 * default and the description of each setting are in its record (`records.ts`).
 */
export interface Settings {
  /** `auto` is resolved to the available parallelism. */
  readonly workers: number
  readonly host: string
  readonly port: number
  readonly adminHost: string
  /** 0 takes a free port. */
  readonly adminPort: number
  /** Names; empty for none. */
  readonly adminHosts: readonly string[]
  readonly probeHost: string
  /** 0 takes a free port. */
  readonly probePort: number | 'off'
  readonly probeMetrics: 'on' | 'off'
  /** Absolute path. */
  readonly stateDir: string
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
  /** `auto` is resolved: `text` on a terminal, `json` elsewhere. */
  readonly logFormat: 'json' | 'text'
  readonly import: readonly string[]

  readonly stallReportAfter: Milliseconds
  readonly stallInterruptAfter: Milliseconds
  readonly stallKillAfter: Milliseconds
  readonly stallAction: 'report' | 'interrupt' | 'kill'
  readonly frozenKillAfter: Milliseconds

  readonly bootTimeout: Milliseconds
  readonly readyWhen: 'critical' | 'all'
  /** Path of a URL with its query; empty for none. */
  readonly readyPath: string
  readonly slowBootThreshold: Milliseconds
  readonly bootProfile: 'on' | 'off'
  readonly requestTimeout: Milliseconds
  readonly maxProxyQueueTime: Milliseconds
  /** Bytes a second; 0 is `off`. */
  readonly minRequestRate: number
  /** Bytes a second; 0 is `off`. */
  readonly minResponseRate: number
  readonly streamIdleTimeout: Milliseconds
  readonly timeoutStatus: '503' | '504'
  /** Hosts; empty for none, `all` for all. */
  readonly propagateDeadlines: readonly string[]
  /** Hosts; empty for none, `all` for all. */
  readonly trustDeadlines: readonly string[]
  readonly keepAlive: Milliseconds
  /** From the order to drain. */
  readonly drainTimeout: Milliseconds
  /** From the order to drain. */
  readonly stopTimeout: Milliseconds
  readonly stopDelay: Milliseconds
  readonly upgradeGrace: Milliseconds

  readonly loadShedding: 'off' | 'dry-run' | 'on'
  /** Of each worker. */
  readonly maxConcurrentRequests: number
  /** Of each worker. */
  readonly maxQueuedRequests: number
  readonly queueTarget: Milliseconds
  readonly queueInterval: Milliseconds
  /** Prefixes of paths. */
  readonly priorityRoutes: readonly string[]

  readonly maxRequests: number
  /** A share from 0 to 0.5. */
  readonly recycleJitter: number
  readonly maxMemory: Bytes
  /** Consecutive samples, one a second. */
  readonly maxMemorySamples: number
  readonly maxLifetime: Milliseconds

  /** `auto` until the release process reads git and package.json. */
  readonly releaseVersion: string
  readonly releaseTimeout: Milliseconds
  readonly releaseLockTimeout: Milliseconds
  readonly releaseTableLockTimeout: Milliseconds

  readonly restartDelayMin: Milliseconds
  readonly restartDelayMax: Milliseconds
  readonly restartReset: Milliseconds
  readonly crashLimit: number
  readonly crashWindow: Milliseconds

  readonly accessLog: 'off' | 'problems' | 'all'
  readonly slowRequestThreshold: Milliseconds
  readonly serverTiming: 'on' | 'off'
  readonly traceWaits: 'on' | 'off'
  readonly repeatedQueryThreshold: number
  readonly maxQueriesPerRequest: number

  readonly maxIncidents: number
  readonly maxIncidentSize: Bytes
}

/** Where a value comes from, in rising precedence; `set` is `punctual set`. */
export type Origin = 'default' | 'file' | 'environment' | 'flag' | 'set'

/** Where the value of a setting comes from. */
export interface SettingOrigin {
  readonly origin: Origin
  /** `--workers`, `PUNCTUAL_WORKERS`, `PORT`, `punctual.config.ts`, `default` or `set`. */
  readonly source: string
  /** As written there: `auto`, where the value is 4. */
  readonly written: Written
}

export type SettingOrigins = Readonly<Record<keyof Settings, SettingOrigin>>

export interface ResolvedSettings {
  readonly settings: Settings
  readonly origins: SettingOrigins
}

/** `stallInterruptAfter` is `--stall-interrupt-after`. */
export function flagOf(name: keyof Settings): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** `stallInterruptAfter` is `PUNCTUAL_STALL_INTERRUPT_AFTER`. */
export function variableOf(name: keyof Settings): string {
  return `PUNCTUAL_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`
}
