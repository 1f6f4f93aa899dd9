import { countKind, portKind, shareKind, workersKind } from './count-kinds.ts'
import { durationKind } from './duration-kind.ts'
import type { Kind, Written } from './kind.ts'
import type { Settings } from './settings.ts'
import { bytes, sizeKind } from './size-kind.ts'
import { choiceKind, hostKind, modulesKind, pathKind, routesKind, versionKind } from './text-kinds.ts'

/** Under which heading a setting stands in the help, the reference and `punctual config`. */
export type SettingGroup =
  | 'Serving'
  | 'Limits'
  | 'Overload'
  | 'Stalls'
  | 'Recycling'
  | 'Releasing'
  | 'Restarting'
  | 'Observing'

export interface SettingRecord<T> {
  readonly group: SettingGroup
  readonly kind: Kind<T>
  /** As it would be written. */
  readonly default: Written
  /** One or two sentences for the help and the reference. */
  readonly prose: string
  /** Variables that platforms set, read when the setting's own is not there. */
  readonly fallbackVariable?: string
  /** What the flag means without a value; it takes none then. */
  readonly bare?: string
  /** Who applies it at once when `punctual set` changes it while Punctual runs; without, it holds from start to stop. */
  readonly runtime?: 'arbiter' | 'watchdog' | 'worker'
}

export type SettingName = keyof Settings

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

const limit = durationKind({ unbounded: true })

/** Every setting, in the order in which people read them. The flags, variables, config keys, help and reference are made from this. */
const RECORDS: { readonly [Name in SettingName]: SettingRecord<Settings[Name]> } = {
  workers: {
    group: 'Serving',
    kind: workersKind,
    default: 'auto',
    prose: 'How many workers serve. `auto` is the number of CPUs this process may use, container limits included.',
  },
  host: {
    group: 'Serving',
    kind: hostKind,
    default: '0.0.0.0',
    prose: 'Address the app listens on. Set as `HOST` for the app.',
    fallbackVariable: 'HOST',
  },
  port: {
    group: 'Serving',
    kind: portKind,
    default: '3000',
    prose: 'Port the app listens on; 0 takes a free one. Set as `PORT` for the app.',
    fallbackVariable: 'PORT',
  },
  import: {
    group: 'Serving',
    kind: modulesKind,
    default: [],
    prose: 'Modules that every worker imports before anything of the app, in order: instrumentation goes here.',
  },
  stateDir: {
    group: 'Serving',
    kind: pathKind,
    default: '.punctual',
    prose: 'Directory of the lock, the control socket and the incidents. One arbiter per directory.',
  },
  bootTimeout: {
    group: 'Limits',
    runtime: 'arbiter',
    kind: limit,
    default: '60s',
    prose: 'From the start of a worker until it must be ready to serve.',
  },
  readyWhen: {
    group: 'Limits',
    kind: choiceKind(['critical', 'all'], (word) => word),
    default: 'critical',
    prose:
      'When a worker is ready: as soon as it listens, or when all routes that the app has deferred (`deferRoutes`) are loaded too, within `bootTimeout`.',
  },
  requestTimeout: {
    group: 'Limits',
    runtime: 'worker',
    kind: limit,
    default: '30s',
    prose:
      'From the acceptance of a request until it must be answered, the time it was queued included. Its caller may ask for less.',
  },
  maxProxyQueueTime: {
    group: 'Limits',
    runtime: 'worker',
    kind: durationKind({ unbounded: true, zero: true }),
    default: '10s',
    prose:
      'The most that counts of the time a request has waited before us, as its proxy says in `X-Request-Start`. It bounds what a wrong clock can do; 0s ignores the header.',
  },
  timeoutStatus: {
    group: 'Limits',
    kind: choiceKind(['503', '504'], (word) => word),
    default: '503',
    prose: 'What a request is answered whose deadline has passed: 503, or 504 where this server stands for others.',
  },
  propagateDeadline: {
    group: 'Limits',
    kind: choiceKind(['on', 'off'], (word) => word),
    default: 'on',
    prose:
      'Outgoing HTTP calls (`node:http`, `fetch`) that a request makes carry `X-Request-Deadline`: how many milliseconds are left of it. Not where the app sets that header itself.',
  },
  keepAlive: {
    group: 'Limits',
    kind: durationKind({ unbounded: false }),
    default: '5s',
    prose: 'How long an idle connection is kept for the next request.',
  },
  drainTimeout: {
    group: 'Limits',
    runtime: 'worker',
    kind: limit,
    default: '30s',
    prose: 'From the order to leave until requests that are still unanswered get a 503.',
  },
  stopTimeout: {
    group: 'Limits',
    runtime: 'arbiter',
    kind: limit,
    default: '35s',
    prose: 'From the order to leave until the worker is killed.',
  },
  upgradeGrace: {
    group: 'Limits',
    runtime: 'worker',
    kind: durationKind({ unbounded: true, zero: true }),
    default: '5s',
    prose: 'How long upgraded connections (WebSocket) may stay while their worker leaves; 0s closes them at once.',
  },
  loadShedding: {
    group: 'Overload',
    runtime: 'worker',
    kind: choiceKind(['off', 'dry-run', 'on'], (word) => word),
    default: 'dry-run',
    prose:
      'What is done when more requests come than can be answered in time: nothing, nothing but counting those that would be shed, or shedding them with a 503.',
  },
  maxConcurrentRequests: {
    group: 'Overload',
    runtime: 'worker',
    kind: countKind({ unbounded: true }),
    default: '1000',
    prose:
      'Requests that a worker has in work at a time. With `admission` on, more of them wait until one of these has ended.',
  },
  maxQueuedRequests: {
    group: 'Overload',
    runtime: 'worker',
    kind: countKind({ unbounded: false }),
    default: '1000',
    prose: 'Requests that may wait so; what comes when there are that many is shed.',
  },
  queueTarget: {
    group: 'Overload',
    runtime: 'worker',
    kind: durationKind({ unbounded: false }),
    default: '100ms',
    prose:
      'What a request may have waited before its handler is called, wherever it waited. Below 50ms the beat of the event loop is too coarse to tell.',
  },
  queueInterval: {
    group: 'Overload',
    runtime: 'worker',
    kind: durationKind({ unbounded: false }),
    default: '1s',
    prose:
      'For how long every request must have waited longer than `queueTarget`, with the worker busy all the time, before any is shed. A burst that is over by then is served.',
  },
  priorityRoutes: {
    group: 'Overload',
    runtime: 'worker',
    kind: routesKind,
    default: ['/health', '/healthz', '/livez', '/readyz', '/ready', '/live', '/ping'],
    prose:
      'Paths that are never held up or shed, with everything below them. Naming some replaces these; `none` leaves no such path.',
  },
  stallAction: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: choiceKind(['report', 'interrupt', 'kill'], (word) => word),
    default: 'kill',
    prose: 'How far a stall may be taken: only reported, cut, or cut and then killed.',
  },
  stallReportAfter: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: limit,
    default: '1s',
    prose: 'How long the event loop may stand still before the stall is explained in the log and an incident.',
  },
  stallInterruptAfter: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: limit,
    default: '10s',
    prose: 'How long it may stand still before the code that stalls is ended and its request answered with a 503.',
  },
  stallKillAfter: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: limit,
    default: '15s',
    prose: 'How long it may stand still before the worker is killed, after every client it can reach has got a 503.',
  },
  frozenKillAfter: {
    group: 'Stalls',
    runtime: 'arbiter',
    kind: limit,
    default: '20s',
    prose: 'How long nothing at all may be heard of a worker (it was stopped, or swapped out) before it is killed.',
  },
  maxRequests: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: countKind({ unbounded: true }),
    default: 'unbounded',
    prose: 'Requests after which a worker is replaced.',
  },
  maxMemory: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: sizeKind({ least: bytes(16, 'MiB'), unbounded: true }),
    default: 'unbounded',
    prose: 'Resident memory above which a worker is replaced.',
  },
  maxMemorySamples: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: countKind({ most: 3_600, unbounded: false }),
    default: '5',
    prose: 'Samples in a row, one a second, that must be above `maxMemory`.',
  },
  maxLifetime: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: limit,
    default: 'unbounded',
    prose: 'Age at which a worker is replaced.',
  },
  recycleJitter: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: shareKind,
    default: '10%',
    prose:
      'By how much `maxRequests` and `maxLifetime` are spread at random, so that workers are not replaced together.',
  },
  releaseVersion: {
    group: 'Releasing',
    kind: versionKind,
    default: 'auto',
    prose:
      'What is released: steps that have been done for a version are not run again. `auto` is the git commit where nothing is uncommitted; where there is none, the steps run at every start.',
  },
  releaseTimeout: {
    group: 'Releasing',
    kind: durationKind({ unbounded: false }),
    default: '10m',
    prose: 'How long the back-up and all release steps may take together; a roll-back may take as long again.',
  },
  releaseLockTimeout: {
    group: 'Releasing',
    kind: durationKind({ unbounded: false }),
    default: '15m',
    prose: 'How long to wait while another machine runs the release steps.',
  },
  releaseTableLockTimeout: {
    group: 'Releasing',
    kind: limit,
    default: '3s',
    prose:
      'How long a statement of a release step may wait for a lock of the database (`lock_timeout`) before it gives way to the site and is tried again. `unbounded` leaves it to the database.',
  },
  restartDelayMin: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: durationKind({ unbounded: false, zero: true }),
    default: '100ms',
    prose: 'Delay before a failed worker is replaced. It doubles with every failure.',
  },
  restartDelayMax: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: durationKind({ unbounded: false, zero: true }),
    default: '30s',
    prose: 'Where that delay stops to grow.',
  },
  restartReset: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: limit,
    default: '30s',
    prose: 'Time without a failure after which the delay starts again at its least.',
  },
  crashLimit: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: countKind({ unbounded: true }),
    default: '10',
    prose: 'Failures within `crashWindow` at which Punctual gives up with exit code 5.',
  },
  crashWindow: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: limit,
    default: '5m',
    prose:
      'The time within which failures are counted for `crashLimit`. Ten failures with the default delays between them take a minute and ten boots.',
  },
  adminHost: {
    group: 'Observing',
    kind: hostKind,
    default: '127.0.0.1',
    prose: 'Address of the admin server (health, status, metrics). Whoever reaches it can read what it shows.',
  },
  adminPort: {
    group: 'Observing',
    kind: portKind,
    default: '9464',
    prose: 'Port of the admin server; 0 takes a free one.',
  },
  logLevel: {
    group: 'Observing',
    runtime: 'worker',
    kind: choiceKind(LOG_LEVELS, (word) => word),
    default: 'info',
    prose: 'The least severe level that is logged.',
  },
  logFormat: {
    group: 'Observing',
    kind: choiceKind<Settings['logFormat'], Settings['logFormat'] | 'auto'>(
      ['auto', 'text', 'json'],
      (word, context) => (word === 'auto' ? (context.isTerminal ? 'text' : 'json') : word),
    ),
    default: 'auto',
    prose: 'How log lines are written. `auto` is text on a terminal and JSON elsewhere.',
  },
  accessLog: {
    group: 'Observing',
    runtime: 'worker',
    kind: choiceKind(['off', 'problems', 'all'], (word) => word),
    default: 'problems',
    prose:
      'Which requests get a line in the log: none, all, or those that expired, failed (5xx), were shed, were answered with a fallback or cut off, whose client left, or that took longer than `slowRequestThreshold`.',
  },
  slowRequestThreshold: {
    group: 'Observing',
    runtime: 'worker',
    kind: limit,
    default: '1s',
    prose: 'How long a request may take before `accessLog` counts it as a problem.',
  },
  serverTiming: {
    group: 'Observing',
    kind: choiceKind(['on', 'off'], (word) => word),
    default: 'off',
    prose:
      'Whether responses carry `Server-Timing`: the whole time and that of each named wait. Whoever can send a request can read it.',
  },
  traceWaits: {
    group: 'Observing',
    kind: choiceKind(['on', 'off'], (word) => word),
    default: 'on',
    prose:
      'See what requests wait for that has no name: sockets, look-ups, HTTP calls, child processes, files. So a request that expires says what it waited for.',
  },
  repeatedQueryThreshold: {
    group: 'Observing',
    runtime: 'worker',
    kind: countKind({ least: 2, unbounded: true }),
    default: '5',
    prose:
      'How often a request may run one query from one place, on guarded pools and SQLite databases, before the log tells it with the line of code, once an hour for each place.',
  },
  maxQueriesPerRequest: {
    group: 'Observing',
    runtime: 'worker',
    kind: countKind({ unbounded: true }),
    default: 'unbounded',
    prose:
      'How many queries a request may run in all before the log tells it, once an hour for each route. A route may have a budget of its own: `currentRequest().allow({ queries: { max: 5 } })`.',
  },
  slowBootThreshold: {
    group: 'Observing',
    kind: limit,
    default: '5s',
    prose: 'A boot that takes longer is told in the log with the three imports that cost most.',
  },
  bootProfile: {
    group: 'Observing',
    kind: choiceKind(['off', 'on'], (word) => word),
    default: 'off',
    bare: 'on',
    prose:
      'Measure every import of a boot, and what it did at import time: sockets, pools, timers, synchronous calls. The log shows it as a tree; so does `/status`. It makes a boot slower.',
  },
  maxIncidents: {
    group: 'Observing',
    kind: countKind({ most: 100_000, unbounded: false }),
    default: '200',
    prose: 'How many incident files are kept; the oldest go first.',
  },
  maxIncidentSize: {
    group: 'Observing',
    kind: sizeKind({ least: bytes(4, 'KiB'), unbounded: false }),
    default: '64KiB',
    prose: 'The largest an incident file may be; evidence is shortened to fit.',
  },
}

export const SETTING_NAMES: readonly SettingName[] = Object.keys(RECORDS) as SettingName[]

/** A record seen without its value's type, for code that treats all settings alike. */
export function recordOf(name: SettingName): SettingRecord<unknown> {
  return RECORDS[name] as SettingRecord<unknown>
}

/** `stallInterruptAfter` is `--stall-interrupt-after`. */
export function flagOf(name: SettingName): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** `stallInterruptAfter` is `PUNCTUAL_STALL_INTERRUPT_AFTER`. */
export function variableOf(name: SettingName): string {
  return `PUNCTUAL_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`
}
