import type { ExitCode } from '../errors/codes.ts'
import type { Vitals } from '../ipc/messages.ts'
import type { Settings } from '../settings/settings.ts'

/**
 * The life of a worker as the arbiter knows it. A worker whose process has exited is removed.
 * - `spawned`: the process exists.
 * - `booting`: its watchdog has sent a heartbeat; the app is loading.
 * - `ready`: it serves requests.
 * - `stalled`: it was ready, and its main thread is blocked or the whole process is frozen.
 * - `not-listening`: it was ready, and its app has closed its servers.
 * - `draining`: it finishes its requests and exits.
 */
export type Life = 'spawned' | 'booting' | 'ready' | 'stalled' | 'not-listening' | 'draining'

/**
 * Why a worker was restarted, or how its shutdown failed: the `reason` of
 * `punctual_restarts_total`, the keys of `restarts` in `/status`. The page
 * `docs/reference/events.md` is generated from this table.
 */
export const RESTART_REASONS = {
  boot: 'It did not become ready: its entry threw, exited, did not listen, or exceeded `bootTimeout`.',
  crash: 'An uncaught error, or an exit of its own; of a draining worker, an exit code other than 0.',
  stall: 'It was killed at `stallKillAfter`.',
  frozen: 'It was killed at `frozenKillAfter`.',
  'out-of-memory': 'V8 aborted because the heap was full.',
  'killed-externally': 'SIGKILL from outside: the kernel out of memory, or an operator.',
  'stop-timeout': 'It did not exit within `stopTimeout` of being asked to.',
  'not-listening': 'Its app closed its servers, or disconnected from the arbiter, and did not listen again.',
  spawn: 'Its process could not be started.',
} as const

export type RestartReason = keyof typeof RESTART_REASONS

/** Why a worker is replaced although it serves. */
export type RecycleReason =
  | { readonly reason: 'memory'; readonly rss: number; readonly limit: number }
  | { readonly reason: 'requests'; readonly requests: number }
  | { readonly reason: 'lifetime' }
  | { readonly reason: 'stall-interrupted' }

export interface WorkerState {
  readonly id: number
  readonly generation: number
  pid: number | null
  life: Life
  /** Code was interrupted in it, so its state may be inconsistent and it must be replaced. */
  tainted: boolean
  /** Why it is replaced and then drained; null while it is to stay. */
  recycling: RecycleReason | null
  /** The worker it replaces. */
  readonly replaces: number | null
  readonly spawnedAt: number
  readyAt: number | null
  /** It may take over: it has been ready for a second of its event loop. */
  settled: boolean
  bootMs: number | null
  /** Monotonic time of the last heartbeat of its watchdog. */
  heartbeatAt: number
  vitals: Vitals | null
  /** The process sends no heartbeats. */
  frozen: boolean
  /**
   * Why its process is about to end: it was killed, or it announced that it crashes. `stop`: it was
   * killed by an immediate stop.
   */
  endReason: RestartReason | 'stop' | null
  /** What its process waits for after its drain, which keeps it from exiting. */
  waitingFor: readonly string[]
  /** How it has answered the last request of `readyPath`, if not with a 2xx status. */
  readyAnswer: string | null
  /** The last child process that it started while it booted. */
  childCommand: string | null
  /** What it reported when it failed. */
  failure: string | null
  /** Limits with jitter applied, drawn when it was started or when the settings changed. */
  requestLimit: number
  lifetimeLimit: number
  /** Consecutive samples above the memory limit. */
  memorySamples: number
  memorySampledAt: number
  /** When the first of them was taken. */
  memoryOverSince: number
  /** Whether it was below `maxMemory` since it was ready, or right before. */
  wasBelowMemory: boolean
}

/**
 * Workers that exceed `maxMemory` soon after they are ready are not replaced again and again.
 */
export interface MemoryBackOff {
  /** How often the delay has been doubled; 0 while workers stay below the limit for long. */
  readonly level: number
  /** No such worker is replaced before this instant. */
  readonly until: number
  readonly isReported: boolean
}

export const NO_MEMORY_BACK_OFF: MemoryBackOff = { level: 0, until: Number.NEGATIVE_INFINITY, isReported: false }

export interface Reload {
  readonly generation: number
  readonly startedAt: number
  /** The command to reply to; null for a signal. */
  readonly command: number | null
  /** How many workers of the serving generation are kept running meanwhile. */
  readonly keepServing: number
}

/** Which generations run the release steps first; without a config file, none do. */
export type ReleaseWhen = 'never' | 'reload' | 'always'

/** All that `decide` knows. Plain data: it can be compared, printed and replayed. */
export interface State {
  settings: Settings
  phase: 'starting' | 'running' | 'stopping' | 'stopped'
  wanted: number
  /** The generation that serves, or will serve once it is ready. */
  generation: number
  nextWorker: number
  nextGeneration: number
  workers: WorkerState[]
  /** The reload in progress; others wait in `reloadQueue`. */
  reload: Reload | null
  /** Commands (null for signals) whose reload has not started. */
  reloadQueue: (number | null)[]
  readonly releases: ReleaseWhen
  /** The release steps that run now; their generation is started when they have finished. */
  releasing: { readonly generation: number; readonly startedAt: number } | null
  /** Address of the app, once a worker has reported it. */
  address: string | null
  /** Unplanned exits since the start, by reason. */
  restarts: Partial<Record<RestartReason, number>>
  /** When workers failed, within the crash window; a burst counts once. */
  failures: { readonly at: number; readonly reason: RestartReason }[]
  /** How often the restart delay has been doubled. */
  delayLevel: number
  /** No worker is spawned before this instant. */
  nextSpawnAt: number
  lastFailureAt: number
  memoryBackOff: MemoryBackOff
  lastTickAt: number
  exit: { readonly code: ExitCode; readonly why: string } | null
  /** Workers whose shutdown failed during the stop: `worker 2 (pid 71): exit code 1`. */
  stopFailures: string[]
  /** Commands that are answered when the stop is complete. */
  stopCommands: number[]
  /** State of the random generator that spreads limits. */
  random: number
}

/** @param seed any 32-bit integer; the same seed and events give the same decisions */
export function initialState(settings: Settings, seed: number, releases: ReleaseWhen = 'never'): State {
  return {
    settings,
    phase: 'starting',
    wanted: settings.workers,
    generation: 1,
    nextWorker: 1,
    nextGeneration: 2,
    workers: [],
    reload: null,
    reloadQueue: [],
    releases,
    releasing: null,
    address: null,
    restarts: {},
    failures: [],
    delayLevel: 0,
    nextSpawnAt: Number.NEGATIVE_INFINITY,
    lastFailureAt: Number.NEGATIVE_INFINITY,
    memoryBackOff: NO_MEMORY_BACK_OFF,
    lastTickAt: Number.NEGATIVE_INFINITY,
    exit: null,
    stopFailures: [],
    stopCommands: [],
    random: seed,
  }
}

/** Whether the app can be reached: a worker of the serving generation is ready and not stalled. */
export function isReady(state: State): boolean {
  return (
    (state.phase === 'starting' || state.phase === 'running') &&
    state.workers.some((worker) => worker.generation === state.generation && worker.life === 'ready')
  )
}

/** Whether exactly the wanted workers exist, and all of them are ready. */
export function isComplete({ phase, reload, workers, wanted }: State): boolean {
  return (
    phase === 'running' && reload === null && workers.length === wanted && workers.every(({ life }) => life === 'ready')
  )
}
