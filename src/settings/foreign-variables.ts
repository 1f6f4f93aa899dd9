import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingName } from './records.ts'
import type { Settings } from './settings.ts'

/** A variable of another server, or of Node, that looks meant for us: what somebody who sets it wants, and how it is had here. */
interface Foreign {
  readonly variable: RegExp
  readonly of: string
  /** The settings that do what was meant. */
  readonly settings: readonly SettingName[]
  /** What to do instead; null where there is nothing to be said of this value. */
  readonly tell: (value: string, facts: ForeignFacts) => string | null
}

interface ForeignFacts {
  readonly settings: Settings
  /** Bytes that this container may use; Infinity without a limit. */
  readonly memoryLimit: number
}

const limitOfRequests = (): string =>
  'a request is limited by --request-timeout, a stalled worker by --stall-kill-after, a boot by --boot-timeout'
const numberOfWorkers = (value: string): string => `write --workers ${/^\d+$/.test(value) ? value : 'auto'}`

/** The first that fits is told. */
const FOREIGN: readonly Foreign[] = [
  {
    variable: /^(GUNICORN_TIMEOUT|WEB_TIMEOUT|PUMA_WORKER_TIMEOUT)$/,
    of: 'other servers',
    settings: ['requestTimeout', 'stallKillAfter', 'bootTimeout'],
    tell: limitOfRequests,
  },
  {
    variable: /^GUNICORN_GRACEFUL_TIMEOUT$/,
    of: 'Gunicorn',
    settings: ['drainTimeout', 'stopTimeout'],
    tell: () => 'what a worker that leaves may take is --drain-timeout, and --stop-timeout until it is killed',
  },
  {
    variable: /^(GUNICORN_WORKERS|WEB_CONCURRENCY|PUMA_WORKERS|UVICORN_WORKERS)$/,
    of: 'other servers',
    settings: ['workers'],
    tell: numberOfWorkers,
  },
  {
    variable: /^GUNICORN_CMD_ARGS$/,
    of: 'Gunicorn',
    settings: [],
    tell: () => 'settings come from flags, PUNCTUAL_… variables and punctual.config.ts; `punctual config` shows them',
  },
  {
    variable: /^(GUNICORN_KEEPALIVE|UVICORN_TIMEOUT_KEEP_ALIVE)$/,
    of: 'other servers',
    settings: ['keepAlive'],
    tell: () => 'idle connections are kept for --keep-alive',
  },
  {
    variable: /^(GUNICORN_MAX_REQUESTS|UVICORN_LIMIT_MAX_REQUESTS)$/,
    of: 'other servers',
    settings: ['maxRequests'],
    tell: (value) => `write --max-requests ${value}`,
  },
  { variable: /^GUNICORN_/, of: 'Gunicorn', settings: [], tell: () => '`punctual config` shows what there is here' },
  { variable: /^PM2_(INSTANCES|CONCURRENCY)$/, of: 'PM2', settings: ['workers'], tell: numberOfWorkers },
  {
    variable: /^PM2_KILL_TIMEOUT$/,
    of: 'PM2',
    settings: ['drainTimeout', 'stopTimeout'],
    tell: () => 'what a worker that leaves may take is --drain-timeout and --stop-timeout',
  },
  {
    variable: /^PM2_(MAX_MEMORY_RESTART|MAX_MEMORY)$/,
    of: 'PM2',
    settings: ['maxMemory'],
    tell: () => 'a worker that uses too much is replaced at --max-memory',
  },
  {
    variable: /^(pm_id|PM2_HOME|PM2_USAGE)$/,
    of: 'PM2',
    settings: [],
    tell: () => 'Punctual runs its own workers: start it without PM2, or with one instance in fork mode',
  },
  {
    variable: /^NODE_CLUSTER_SCHED_POLICY$/,
    of: 'Node',
    settings: [],
    tell: () =>
      'workers share one listening socket whatever it says, so that a blocked one takes no connection with it',
  },
  { variable: /^NODE_OPTIONS$/, of: 'Node', settings: ['maxMemory'], tell: tellHeap },
  {
    variable: /^UV_THREADPOOL_SIZE$/,
    of: 'Node',
    settings: [],
    tell: (value, { settings }) =>
      Number(value) * settings.workers > 256
        ? `each of the ${settings.workers} workers gets ${value} threads of its own, ${Number(value) * settings.workers} in all`
        : null,
  },
]

export interface ForeignVariablesOptions {
  /** Where the file system begins, for tests. Default `/`. */
  readonly root?: string
}

/** A variable of the environment that does not do what it seems to. */
export interface ForeignVariable {
  readonly variable: string
  /** The settings that do what was meant. */
  readonly settings: readonly SettingName[]
  readonly message: string
}

/**
 * The variables of the environment that somebody has set for another server, or that work against this one: what they do not do, and which
 * setting does. So that nobody believes in a limit that was never applied.
 */
export function foreignVariables(
  env: Readonly<Record<string, string | undefined>>,
  settings: Settings,
  options: ForeignVariablesOptions = {},
): readonly ForeignVariable[] {
  const facts = { settings, memoryLimit: memoryLimit(options.root ?? '/') }
  return Object.entries(env).flatMap(([variable, value]) => {
    if (value === undefined || value === '') return []
    const foreign = FOREIGN.find((one) => one.variable.test(variable))
    const told = foreign?.tell(value, facts) ?? null
    if (foreign === undefined || told === null) return []
    // Node reads its own variables; what is to be said of those is not that they are ignored.
    const not = foreign.of === 'Node' ? '' : ` is a setting of ${foreign.of} and does nothing here`
    return [{ variable, settings: foreign.settings, message: `${variable}=${shorten(value)}${not}: ${told}` }]
  })
}

/** A heap that may grow beyond the container ends in SIGKILL by the kernel, without a word. */
function tellHeap(value: string, { settings, memoryLimit: limit }: ForeignFacts): string | null {
  const heap = /--max[-_]old[-_]space[-_]size[= ](\d+)/.exec(value)?.[1]
  if (heap === undefined || limit === Number.POSITIVE_INFINITY) return null
  const whole = Number(heap) * MEBIBYTE * settings.workers
  if (whole <= limit) return null
  const room = Math.max(1, Math.floor((limit * 0.75) / settings.workers / MEBIBYTE))
  return `${settings.workers === 1 ? 'a heap' : `${settings.workers} heaps`} of ${heap} MiB may grow beyond the ${Math.floor(limit / MEBIBYTE)} MiB of this container, and the kernel kills who does; write --max-old-space-size=${room}, or --max-memory to have workers replaced before`
}

const MEBIBYTE = 1024 * 1024

/** What the control group of this process may use, or any above it (Linux, cgroup v2 and v1). */
function memoryLimit(root: string): number {
  const own = read(join(root, 'proc/self/cgroup'))?.match(/^0::(\/.*)$/m)?.[1] ?? '/'
  const parts = own.split('/').filter((part) => part !== '' && part !== '..')
  const groups = Array.from({ length: parts.length + 1 }, (_, cut) => parts.slice(0, parts.length - cut).join('/'))
  const limits = [
    ...groups.map((group) => read(join(root, 'sys/fs/cgroup', group, 'memory.max'))),
    read(join(root, 'sys/fs/cgroup/memory/memory.limit_in_bytes')),
  ].map(Number)
  // Version 1 says "without limit" with a number beyond any machine's memory.
  return Math.min(Number.POSITIVE_INFINITY, ...limits.filter((limit) => limit > 0 && limit < 2 ** 60))
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

function shorten(value: string): string {
  return value.length <= 60 ? value : `${value.slice(0, 59)}…`
}
