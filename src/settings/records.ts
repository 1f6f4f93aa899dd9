import type { SettingRecord } from './kind.ts'
import {
  bytes,
  countKind,
  durationKind,
  optionalPortKind,
  portKind,
  rateKind,
  shareKind,
  sizeKind,
  workersKind,
} from './number-kinds.ts'
import type { Settings } from './settings.ts'
import {
  choiceKind,
  hostKind,
  hostNamesKind,
  hostsKind,
  modulesKind,
  pathKind,
  routesKind,
  urlPathKind,
  versionKind,
} from './text-kinds.ts'

export type SettingName = keyof Settings

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

const duration = durationKind({ unbounded: true })

/**
 * Every setting, in the order of the help and the reference. Flags, variables, config keys, help
 * and reference are made from this table.
 */
const RECORDS: { readonly [Name in SettingName]: SettingRecord<Settings[Name]> } = {
  workers: {
    group: 'Serving',
    kind: workersKind,
    default: 'auto',
    prose:
      'Number of workers. `auto` is the number of CPUs this process may use, but no more than one for each 256 MiB of memory; limits of a container are included.',
  },
  host: {
    group: 'Serving',
    kind: hostKind,
    default: '0.0.0.0',
    prose: 'Address that the app listens on. Passed to the app as `HOST`.',
    fallbackVariable: 'HOST',
  },
  port: {
    group: 'Serving',
    kind: portKind,
    default: '3000',
    prose: 'Port that the app listens on; 0 takes a free one. Passed to the app as `PORT`.',
    fallbackVariable: 'PORT',
  },
  import: {
    group: 'Serving',
    kind: modulesKind,
    default: [],
    prose: 'Modules that every worker imports before the app, in order, such as instrumentation.',
  },
  stateDir: {
    group: 'Serving',
    kind: pathKind,
    default: '.punctual',
    prose:
      'Directory of the lock, the control socket and the incidents. One arbiter per directory. If the working directory is a link that switches releases (`/srv/app/current`), the default is beside it: `/srv/app/.punctual/current`.',
  },
  bootTimeout: {
    group: 'Timeouts',
    runtime: 'arbiter',
    kind: duration,
    default: '60s',
    prose: 'Maximum time from the start of a worker until it is ready.',
  },
  readyWhen: {
    group: 'Timeouts',
    kind: choiceKind(['critical', 'all'], (word) => word),
    default: 'critical',
    prose:
      'When a worker is ready: `critical` as soon as it listens, `all` when the routes that the app defers (`deferRoutes`) are loaded too.',
  },
  readyPath: {
    group: 'Timeouts',
    kind: urlPathKind,
    default: 'none',
    prose:
      'Path that every new worker must answer with a 2xx status before it takes over, asked until `bootTimeout`; for apps that listen before they are initialised. `none` asks nothing.',
  },
  requestTimeout: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: duration,
    default: '30s',
    prose:
      'Maximum time from accepting a request until its response begins, time in queues included. Time in which its body arrives does not count. The client may ask for less.',
  },
  minRequestRate: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: rateKind,
    default: '240',
    prose:
      'Minimum rate, in bytes a second, at which a client must send a body that the app reads, after 5 s of grace. Below it the request is answered 408.',
  },
  minResponseRate: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: rateKind,
    default: '240',
    prose:
      'Minimum rate, in bytes a second, at which a client must receive a response that is waiting to be sent, after 5 s of grace. Below it the connection is closed.',
  },
  streamIdleTimeout: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: duration,
    default: 'unbounded',
    prose:
      'How long a response that has begun may send nothing because the app writes nothing, such as a stream of events. After that its connection is closed.',
  },
  maxProxyQueueTime: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: durationKind({ unbounded: true, zero: true }),
    default: '10s',
    prose:
      'Maximum time that counts of what a proxy reports in `X-Request-Start`, which limits the effect of a wrong clock; 0s ignores the header.',
  },
  timeoutStatus: {
    group: 'Timeouts',
    kind: choiceKind(['503', '504'], (word) => word),
    default: '503',
    prose: 'Status of the response to a request that timed out: 503, or 504 for a gateway.',
  },
  propagateDeadlines: {
    group: 'Timeouts',
    kind: hostsKind,
    default: 'none',
    prose:
      'Hosts to which outgoing HTTP calls (`node:http`, `fetch`) carry the remaining milliseconds of their request in `Request-Timeout`, unless the app sets that header.',
  },
  trustDeadlines: {
    group: 'Timeouts',
    kind: hostsKind,
    default: 'all',
    prose:
      'Callers that may shorten the deadline of a request by `Request-Timeout` or `grpc-timeout`: addresses, networks, names (resolved at the start), and `unix` for Unix sockets.',
  },
  keepAlive: {
    group: 'Timeouts',
    kind: durationKind({ unbounded: false }),
    default: '5s',
    prose: 'How long an idle connection stays open for the next request.',
  },
  drainTimeout: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: duration,
    default: '30s',
    prose: 'Time from the order to drain until unanswered requests get a 503.',
  },
  stopTimeout: {
    group: 'Timeouts',
    runtime: 'arbiter',
    kind: duration,
    default: '35s',
    prose: 'Time from the order to drain until the worker is killed.',
  },
  stopDelay: {
    group: 'Timeouts',
    runtime: 'arbiter',
    kind: durationKind({ unbounded: false, zero: true }),
    default: '0s',
    prose:
      'How long the workers keep serving at a stop, before they drain, while `/readyz` already answers 503: the time a load balancer needs to notice.',
  },
  upgradeGrace: {
    group: 'Timeouts',
    runtime: 'worker',
    kind: durationKind({ unbounded: true, zero: true }),
    default: '5s',
    prose: 'How long upgraded connections (WebSocket) stay open while their worker drains; 0s is not at all.',
  },
  loadShedding: {
    group: 'Overload',
    runtime: 'worker',
    kind: choiceKind(['off', 'dry-run', 'on'], (word) => word),
    default: 'dry-run',
    prose:
      'What happens to requests that cannot be answered in time: `off` nothing, `dry-run` they are counted, `on` they get a 503.',
  },
  maxConcurrentRequests: {
    group: 'Overload',
    runtime: 'worker',
    kind: countKind({ unbounded: true }),
    default: '1000',
    prose: 'Requests that a worker processes at a time. With `loadShedding` on, further requests are queued.',
  },
  maxQueuedRequests: {
    group: 'Overload',
    runtime: 'worker',
    kind: countKind({ unbounded: false }),
    default: '1000',
    prose: 'Requests that a worker queues; further requests are shed.',
  },
  queueTarget: {
    group: 'Overload',
    runtime: 'worker',
    kind: durationKind({ unbounded: false }),
    default: '100ms',
    prose:
      'Acceptable time from the arrival of a request until its handler is called. Values below 50ms are too small for the resolution of the measurement.',
  },
  queueInterval: {
    group: 'Overload',
    runtime: 'worker',
    kind: durationKind({ unbounded: false }),
    default: '1s',
    prose: 'How long all requests of a busy worker must exceed `queueTarget` until some are shed.',
  },
  priorityRoutes: {
    group: 'Overload',
    runtime: 'worker',
    kind: routesKind,
    default: ['/health', '/healthz', '/livez', '/readyz', '/ready', '/live', '/ping'],
    prose: 'Paths that are never queued or shed, with the paths below them. Replaces the default; `none` is no path.',
  },
  stallAction: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: choiceKind(['report', 'interrupt', 'kill'], (word) => word),
    default: 'kill',
    prose:
      'How far Punctual goes when the event loop is blocked: report it, interrupt the code, or interrupt and then kill the worker.',
  },
  stallReportAfter: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: duration,
    default: '1s',
    prose: 'How long the event loop may be blocked until the stall is reported as an incident.',
  },
  stallInterruptAfter: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: duration,
    default: '10s',
    prose: 'How long it may be blocked until the code is interrupted and its request answered with a 503.',
  },
  stallKillAfter: {
    group: 'Stalls',
    runtime: 'watchdog',
    kind: duration,
    default: '15s',
    prose: 'How long it may be blocked until the worker is killed, after a 503 to every client.',
  },
  frozenKillAfter: {
    group: 'Stalls',
    runtime: 'arbiter',
    kind: duration,
    default: '20s',
    prose: 'How long a worker may send no heartbeat (stopped, swapped out) until the arbiter kills it.',
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
    kind: sizeKind({ min: bytes(16, 'MiB'), unbounded: true }),
    default: 'unbounded',
    prose: 'Resident memory above which a worker is replaced.',
  },
  maxMemorySamples: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: countKind({ max: 3_600, unbounded: false }),
    default: '5',
    prose: 'Consecutive samples, one a second, that must exceed `maxMemory`.',
  },
  maxLifetime: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: duration,
    default: 'unbounded',
    prose: 'Age at which a worker is replaced.',
  },
  recycleJitter: {
    group: 'Recycling',
    runtime: 'arbiter',
    kind: shareKind,
    default: '10%',
    prose: 'Share by which `maxRequests` and `maxLifetime` vary at random, so that workers are not replaced together.',
  },
  releaseVersion: {
    group: 'Releasing',
    kind: versionKind,
    default: 'auto',
    prose:
      'Version to release: steps that are done for a version do not run again. `auto` is the git commit if nothing is uncommitted; without one the steps run at every start.',
  },
  releaseTimeout: {
    group: 'Releasing',
    kind: durationKind({ unbounded: false }),
    default: '10m',
    prose: 'Maximum time of the backup and all release steps together, and again of a rollback.',
  },
  releaseLockTimeout: {
    group: 'Releasing',
    kind: durationKind({ unbounded: false }),
    default: '15m',
    prose: 'How long to wait while another machine runs the release steps.',
  },
  releaseTableLockTimeout: {
    group: 'Releasing',
    kind: duration,
    default: '3s',
    prose:
      'How long a statement of a release step waits for a database lock (`lock_timeout`) before it is aborted and retried, so that it does not block the app. `unbounded` keeps the setting of the database.',
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
    prose: 'Maximum of that delay.',
  },
  restartReset: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: duration,
    default: '30s',
    prose: 'Time without a failure after which the delay is reset to its minimum.',
  },
  crashLimit: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: countKind({ unbounded: true }),
    default: '10',
    prose: 'Failures within `crashWindow` at which Punctual exits with code 5.',
  },
  crashWindow: {
    group: 'Restarting',
    runtime: 'arbiter',
    kind: duration,
    default: '5m',
    prose:
      'Time within which failures count for `crashLimit`. Ten failures with the default delays take a minute and ten boots.',
  },
  adminHost: {
    group: 'Observing',
    kind: hostKind,
    default: '127.0.0.1',
    prose:
      'Address of the admin server (health, status, metrics, incidents). Everyone who can connect can read it: keep it on the loopback address, and let probes use `probePort`.',
  },
  adminHosts: {
    group: 'Observing',
    kind: hostNamesKind,
    default: 'none',
    prose:
      'Names by which clients may ask the admin server, besides `localhost`, addresses and `adminHost`; `*.internal` allows all names below it. Others are refused, so that no web page reads it through a name of its own (DNS rebinding).',
  },
  adminPort: {
    group: 'Observing',
    kind: portKind,
    default: '19464',
    prose:
      'Port of the admin server; 0 takes a free one. If another process listens on the default, a free port is used.',
  },
  probePort: {
    group: 'Observing',
    kind: optionalPortKind,
    default: 'off',
    prose:
      'Port of a second server that has only `/livez` and `/readyz`, for probes from outside the machine or container; 0 takes a free one.',
  },
  probeHost: {
    group: 'Observing',
    kind: hostKind,
    default: '0.0.0.0',
    prose: 'Address of the server for probes; `::` is all addresses, of IPv6 too.',
  },
  probeMetrics: {
    group: 'Observing',
    kind: choiceKind(['on', 'off'], (word) => word),
    default: 'off',
    prose: 'Whether the server for probes also has `/metrics`; `adminHosts` applies to it.',
  },
  logLevel: {
    group: 'Observing',
    runtime: 'worker',
    kind: choiceKind(LOG_LEVELS, (word) => word),
    default: 'info',
    prose: 'Lowest level that is logged.',
  },
  logFormat: {
    group: 'Observing',
    kind: choiceKind<Settings['logFormat'], Settings['logFormat'] | 'auto'>(
      ['auto', 'text', 'json'],
      (word, context) => (word === 'auto' ? (context.isTerminal ? 'text' : 'json') : word),
    ),
    default: 'auto',
    prose: 'Format of the log. `auto` is text on a terminal and JSON elsewhere.',
  },
  accessLog: {
    group: 'Observing',
    runtime: 'worker',
    kind: choiceKind(['off', 'problems', 'all'], (word) => word),
    default: 'problems',
    prose:
      'Requests that are logged: none, all, or `problems`: timed out, failed (5xx), shed, degraded, aborted by the client, or slower than `slowRequestThreshold`.',
  },
  slowRequestThreshold: {
    group: 'Observing',
    runtime: 'worker',
    kind: duration,
    default: '1s',
    prose: 'Duration from which `accessLog: problems` logs a request.',
  },
  serverTiming: {
    group: 'Observing',
    kind: choiceKind(['on', 'off'], (word) => word),
    default: 'off',
    prose: 'Adds `Server-Timing` to responses: the total time and that of each named wait. Every client can read it.',
  },
  traceWaits: {
    group: 'Observing',
    kind: choiceKind(['on', 'off'], (word) => word),
    default: 'on',
    prose:
      'Track what requests wait for without a name: sockets, DNS lookups, HTTP calls, child processes, files. A request that times out then names it.',
  },
  repeatedQueryThreshold: {
    group: 'Observing',
    runtime: 'worker',
    kind: countKind({ min: 2, unbounded: true }),
    default: '5',
    prose:
      'How often a request may run one query from one line of code, on guarded pools and SQLite databases, until the log reports it, once an hour for each line.',
  },
  maxQueriesPerRequest: {
    group: 'Observing',
    runtime: 'worker',
    kind: countKind({ unbounded: true }),
    default: 'unbounded',
    prose:
      'Queries of a request at which the log reports it, once an hour for each route. A route may have its own limit: `currentRequest().allow({ queries: { max: 5 } })`.',
  },
  slowBootThreshold: {
    group: 'Observing',
    kind: duration,
    default: '5s',
    prose: 'Duration from which a boot is logged, with its three slowest imports.',
  },
  bootProfile: {
    group: 'Observing',
    kind: choiceKind(['off', 'on'], (word) => word),
    default: 'off',
    bare: 'on',
    prose:
      'Measure every import of a boot, and its sockets, pools, timers and synchronous calls. The log and `/status` show the tree. Makes the boot slower.',
  },
  maxIncidents: {
    group: 'Observing',
    kind: countKind({ max: 100_000, unbounded: false }),
    default: '200',
    prose: 'Number of incident files to keep; the oldest are deleted first.',
  },
  maxIncidentSize: {
    group: 'Observing',
    kind: sizeKind({ min: bytes(4, 'KiB'), unbounded: false }),
    default: '64KiB',
    prose: 'Maximum size of an incident file; evidence is truncated to fit.',
  },
}

export const SETTING_NAMES: readonly SettingName[] = Object.keys(RECORDS) as SettingName[]

/** The record of a setting, without the type of its value. */
export function recordOf(name: SettingName): SettingRecord<unknown> {
  return RECORDS[name] as SettingRecord<unknown>
}
