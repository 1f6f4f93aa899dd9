import { memoryLimit } from './container-limits.ts'
import type { SettingName } from './records.ts'
import type { Settings } from './settings.ts'

/** A variable of another server, or of Node, that looks as if it configured Punctual. */
interface Foreign {
  readonly variable: RegExp
  readonly of: string
  /** The settings with the intended effect. */
  readonly settings: readonly SettingName[]
  /** What to do instead; null if this value needs no warning. */
  readonly advise: (value: string, facts: ForeignFacts) => string | null
}

interface ForeignFacts {
  readonly settings: Settings
  /** Bytes that this container may use; Infinity without a limit. */
  readonly memoryLimit: number
}

const useTimeouts = (): string =>
  '--request-timeout limits a request, --stall-kill-after a stalled worker, --boot-timeout a boot'
const useWorkers = (value: string): string => `use --workers ${/^\d+$/.test(value) ? value : 'auto'}`
const useStopTimeouts = (): string => '--drain-timeout and --stop-timeout limit how long a worker drains'

/** The first entry that matches applies. */
const FOREIGN: readonly Foreign[] = [
  {
    variable: /^(GUNICORN_TIMEOUT|WEB_TIMEOUT|PUMA_WORKER_TIMEOUT)$/,
    of: 'other servers',
    settings: ['requestTimeout', 'stallKillAfter', 'bootTimeout'],
    advise: useTimeouts,
  },
  {
    variable: /^GUNICORN_GRACEFUL_TIMEOUT$/,
    of: 'Gunicorn',
    settings: ['drainTimeout', 'stopTimeout'],
    advise: useStopTimeouts,
  },
  {
    variable: /^(GUNICORN_WORKERS|WEB_CONCURRENCY|PUMA_WORKERS|UVICORN_WORKERS)$/,
    of: 'other servers',
    settings: ['workers'],
    advise: useWorkers,
  },
  {
    variable: /^GUNICORN_CMD_ARGS$/,
    of: 'Gunicorn',
    settings: [],
    advise: () => 'use flags, PUNCTUAL_… variables or punctual.config.ts; `punctual config` shows the settings',
  },
  {
    variable: /^(GUNICORN_KEEPALIVE|UVICORN_TIMEOUT_KEEP_ALIVE)$/,
    of: 'other servers',
    settings: ['keepAlive'],
    advise: () => '--keep-alive sets how long idle connections stay open',
  },
  {
    variable: /^(GUNICORN_MAX_REQUESTS|UVICORN_LIMIT_MAX_REQUESTS)$/,
    of: 'other servers',
    settings: ['maxRequests'],
    advise: (value) => `use --max-requests ${value}`,
  },
  { variable: /^GUNICORN_/, of: 'Gunicorn', settings: [], advise: () => '`punctual config` shows the settings' },
  { variable: /^PM2_(INSTANCES|CONCURRENCY)$/, of: 'PM2', settings: ['workers'], advise: useWorkers },
  {
    variable: /^PM2_KILL_TIMEOUT$/,
    of: 'PM2',
    settings: ['drainTimeout', 'stopTimeout'],
    advise: useStopTimeouts,
  },
  {
    variable: /^PM2_(MAX_MEMORY_RESTART|MAX_MEMORY)$/,
    of: 'PM2',
    settings: ['maxMemory'],
    advise: () => '--max-memory replaces a worker that uses too much',
  },
  {
    variable: /^(pm_id|PM2_HOME|PM2_USAGE)$/,
    of: 'PM2',
    settings: [],
    advise: () => 'Punctual runs its own workers: start it without PM2, or as one instance in fork mode',
  },
  {
    variable: /^NODE_CLUSTER_SCHED_POLICY$/,
    of: 'Node',
    settings: [],
    advise: () => 'has no effect: workers always share the listening socket',
  },
  { variable: /^NODE_OPTIONS$/, of: 'Node', settings: ['maxMemory'], advise: adviseHeap },
  {
    variable: /^UV_THREADPOOL_SIZE$/,
    of: 'Node',
    settings: [],
    advise: (value, { settings: { workers } }) =>
      Number(value) * workers > 256
        ? `each of the ${workers} workers starts ${value} threads, ${Number(value) * workers} in all`
        : null,
  },
]

export interface ForeignVariablesOptions {
  /** Root of the file system, for tests. Default: `/`. */
  readonly root?: string
}

/** A variable of the environment that does not do what it seems to do. */
export interface ForeignVariable {
  readonly variable: string
  /** The settings with the intended effect. */
  readonly settings: readonly SettingName[]
  readonly message: string
}

/**
 * The variables of the environment that configure another server, or conflict with this one, so
 * that an operator does not rely on a limit that was never applied.
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
    const advice = foreign?.advise(value, facts) ?? null
    if (foreign === undefined || advice === null) return []
    // Node does read its own variables.
    const ignored = foreign.of === 'Node' ? '' : ` is a setting of ${foreign.of} and is ignored`
    return [
      { variable, settings: foreign.settings, message: `${formatVariable(variable, value)}${ignored}: ${advice}` },
    ]
  })
}

const MEBIBYTE = 1024 * 1024

/** The kernel kills a process whose heap grows beyond the container, without an error message. */
function adviseHeap(value: string, { settings: { workers }, memoryLimit: limit }: ForeignFacts): string | null {
  const heap = /--max[-_]old[-_]space[-_]size[= ](\d+)/.exec(value)?.[1]
  if (heap === undefined || limit === Number.POSITIVE_INFINITY) return null
  if (Number(heap) * MEBIBYTE * workers <= limit) return null
  const fitting = Math.max(1, Math.floor((limit * 0.75) / workers / MEBIBYTE))
  const heaps = `${workers === 1 ? 'a heap' : `${workers} heaps`} of ${heap} MiB`
  return `${heaps} can exceed the ${Math.floor(limit / MEBIBYTE)} MiB of this container; use --max-old-space-size=${fitting}, or --max-memory to replace workers first`
}

/** Only a number, word or path is shown: options of a server, or of Node, may contain a secret. */
function formatVariable(variable: string, value: string): string {
  return /^[\w./-]{1,40}$/.test(value) ? `${variable}=${value}` : variable
}
