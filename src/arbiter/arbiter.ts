import type { Incident, IncidentSummary, ReportedError } from '../diagnostics/incident.ts'
import type { IncidentStore } from '../diagnostics/incident-store.ts'
import type { Log } from '../diagnostics/log.ts'
import type { Status } from '../diagnostics/status.ts'
import { EXIT, type ExitCode } from '../errors/exit-codes.ts'
import type { KillReason } from '../ipc/messages.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { keepListeningHandles } from '../patches/listening-handles.ts'
import { after, type Cancel, every, monotonicNow, wallClock } from '../resilience/clock.ts'
import { formatDuration, ms, UNBOUNDED } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import type { Action } from './action.ts'
import { createAnnouncer } from './announcer.ts'
import type { ArbiterControl, CommandOutcome, ScaleChange } from './arbiter-control.ts'
import { Chronicle } from './chronicle.ts'
import { decide } from './decide.ts'
import type { Command, Event, Timer } from './event.ts'
import { EventQueue } from './event-queue.ts'
import { Exchange } from './exchange.ts'
import { countReasons } from './failures.ts'
import { appointHeirs } from './heirs.ts'
import { Releaser } from './releaser.ts'
import { RuntimeSettings, type RuntimeSettingsOptions } from './runtime-settings.ts'
import type { ServiceManager } from './service-manager.ts'
import { initialState, isWhole, type State } from './state.ts'
import { statusOf } from './status-of.ts'
import { WorkerHandle } from './worker-handle.ts'

export interface ArbiterOptions extends Pick<RuntimeSettingsOptions, 'base' | 'set' | 'configFile'> {
  readonly version: string
  /** What every worker is told at its start, but for its id, its generation and the settings. */
  readonly workerConfig: Omit<WorkerConfig, 'id' | 'generation' | 'settings' | 'set'>
  /** Whether the config file names release steps. */
  readonly releases: boolean
  /** Of the app, as the operator wrote it. */
  readonly name: string
  readonly log: Log
  readonly store: IncidentStore
  readonly serviceManager: ServiceManager
  readonly cwd: string
  /** Default: `decide`. A test replaces it by one that throws. */
  readonly decide?: typeof decide
}

/** How the arbiter ended. */
export interface ArbiterEnd {
  readonly code: ExitCode
  readonly why: string
  /** The error that is the reason: of the arbiter itself, or else of the worker that ended last. */
  readonly error: ReportedError | null
  /** The failures within the crash window, counted by reason. */
  readonly failures: Readonly<Record<string, number>>
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGTTIN', 'SIGTTOU'] as const
const TICK = ms(500)
/** A port on which none of the workers has listened for so long, though all are ready, is given up. */
const UNUSED_LIMIT = ms(10_000)
/** After a watchdog was told to end its process, this long until SIGKILL from here. */
const KILL_BEHIND = ms(1_000)
/** An arbiter that has failed waits so long for its workers to be gone; they end by themselves once it is gone. */
const FAILED_LIMIT = ms(3_000)

/**
 * Supervises the workers. Whatever happens (a signal, a command, a timer, a word or the end of a worker) becomes an event in one queue;
 * `decide` says what to do, and this performs it. Nothing here awaits a worker.
 */
export class Arbiter implements ArbiterControl {
  readonly #options: ArbiterOptions
  readonly #chronicle: Chronicle
  readonly #announce: ReturnType<typeof createAnnouncer>
  readonly #handles = new Map<number, WorkerHandle>()
  readonly #exchange = new Exchange()
  readonly settings: RuntimeSettings
  readonly #releaser: Releaser
  readonly #timers = new Map<string, Cancel>()
  /** What each command that is under way is refused with, and who waits for it. */
  readonly #commands = new Map<number, { readonly code: string; readonly resolve: (outcome: CommandOutcome) => void }>()
  readonly #events = new EventQueue<Event>({
    handle: (event) => this.#handle(event),
    onFailed: (error, event) => this.#fail(error, event),
  })
  readonly #startedAt = monotonicNow()
  readonly #startedOn = wallClock()
  #state: State
  #lastCommand = 0
  #end: (end: ArbiterEnd) => void = () => {}
  /** Called when the process of the last worker is gone. */
  #onLastGone: () => void = () => {}

  constructor(options: ArbiterOptions) {
    this.#options = options
    appointHeirs(this.#exchange)
    this.#chronicle = new Chronicle(options.store, options.log, options.cwd, options.workerConfig.entry)
    this.#announce = createAnnouncer({ log: options.log, serviceManager: options.serviceManager, entry: options.name })
    this.settings = new RuntimeSettings({
      ...options,
      stateDir: options.base.settings.stateDir,
      exchange: this.#exchange,
      adopt: (settings) => this.#adopt(settings),
      order: (worker, message) => this.#handles.get(worker)?.order(message),
      workers: () =>
        this.#state.workers.map(({ id, life }) => ({ id, isBooting: life === 'spawned' || life === 'booting' })),
    })
    this.#releaser = new Releaser({ ...options, settings: () => this.settings.settings })
    this.#state = initialState(
      this.settings.settings,
      process.pid ^ Math.trunc(this.#startedAt * 1_000),
      // A reload reads the config file anew: it may have steps by then.
      options.configFile === null ? 'never' : options.releases ? 'always' : 'reload',
    )
  }

  /** Starts the workers; resolves when all of them have left for good. */
  async run(): Promise<ArbiterEnd> {
    const sockets = keepListeningHandles()
    const ended = new Promise<ArbiterEnd>((resolve) => {
      this.#end = resolve
    })
    const listeners = SIGNALS.map(
      (signal) => [signal, () => this.#post({ type: 'signal', signal, at: monotonicNow() })] as const,
    )
    for (const [signal, listener] of listeners) process.on(signal, listener)
    const tick = (): void => {
      this.#post({ type: 'tick', at: monotonicNow() })
      if (isWhole(this.#state)) sockets.closeUnused(UNUSED_LIMIT)
    }
    const stopTicking = every(TICK, tick, { keepAlive: true })
    this.#post({ type: 'start', at: monotonicNow() })

    const end = await ended
    stopTicking()
    for (const [signal, listener] of listeners) process.off(signal, listener)
    for (const cancel of this.#timers.values()) cancel()
    await this.#chronicle.told()
    return { ...end, error: end.error ?? this.#chronicle.lastError, failures: countReasons(this.#state) }
  }

  status(): Status {
    return statusOf(
      this.#state,
      {
        name: this.#options.name,
        version: this.#options.version,
        startedAt: this.#startedOn,
        uptimeMs: monotonicNow() - this.#startedAt,
        incidents: this.#options.store.counts(),
        set: this.settings.setTexts(),
        release: this.#releaser.status,
        modules: (worker) => this.#exchange.reportsOf(worker),
      },
      monotonicNow(),
    )
  }

  reload(): Promise<CommandOutcome> {
    return this.#command({ name: 'reload' }, 'PUNCTUAL_RELOAD_FAILED')
  }

  scale(change: ScaleChange): Promise<CommandOutcome> {
    return this.#command({ name: 'scale', change }, 'PUNCTUAL_COMMAND_REFUSED')
  }

  stop(): Promise<CommandOutcome> {
    return this.#command({ name: 'stop' }, 'PUNCTUAL_COMMAND_REFUSED')
  }

  incidents(): Promise<readonly IncidentSummary[]> {
    return this.#options.store.list()
  }

  incident(id: string): Promise<Incident | undefined> {
    return this.#options.store.read(id)
  }

  #adopt(settings: Settings): void {
    this.#options.log.setLevel(settings.logLevel)
    this.#post({ type: 'settings', settings, at: monotonicNow() })
  }

  #command(command: Command, code: string): Promise<CommandOutcome> {
    if (this.#events.hasFailed) return Promise.resolve(FAILED)
    const id = ++this.#lastCommand
    return new Promise((resolve) => {
      this.#commands.set(id, { code, resolve })
      this.#post({ type: 'command', id, command, at: monotonicNow() })
    })
  }

  /** Everything enters here. */
  #post(event: Event): void {
    this.#events.post(event)
  }

  #handle(event: Event): void {
    this.#attempt('record', () => this.#chronicle.note(event, this.#state))
    const { state, actions } = (this.#options.decide ?? decide)(this.#state, event)
    this.#state = state
    for (const action of actions) this.#perform(action, event.at)
  }

  /** For what may fail without harm to the workers: what is told, and what has a limit behind it. */
  #attempt(action: string, attempt: () => void): void {
    try {
      attempt()
    } catch (error) {
      this.#options.log.error({ event: 'action-failed', action, error }, `the arbiter failed to ${action}; it goes on`)
    }
  }

  /**
   * Deciding failed, or setting a limit did: what the arbiter knows of its workers may be wrong, so it ends them and itself. Whoever
   * started it may start it again.
   */
  #fail(error: unknown, { type }: Event): void {
    const reported = reportError(error)
    this.#state = { ...this.#state, phase: 'stopping' }
    this.#attempt('record', () => this.#chronicle.failed(reported, type))
    this.#attempt('announce', () => this.#options.serviceManager.stopping())
    this.#attempt('abort the release', () => this.#releaser.abort('the arbiter failed'))
    for (const { resolve } of this.#commands.values()) resolve(FAILED)
    const end = (): void => {
      cancel()
      this.#end({ code: EXIT.failed, why: type, error: reported, failures: {} })
    }
    const cancel = after(FAILED_LIMIT, end)
    this.#onLastGone = end
    for (const id of this.#handles.keys()) this.#killGently(id, 'stop')
    if (this.#handles.size === 0) end()
  }

  #perform(action: Action, at: number): void {
    switch (action.type) {
      case 'spawn':
        return this.#spawn(action.worker, action.generation)
      case 'drain':
        // One that does not hear it is killed at its stop limit.
        return this.#attempt('drain', () => {
          this.#handles.get(action.worker)?.order({ type: 'drain', keepIdle: this.#state.phase !== 'stopping' })
        })
      case 'kill':
        return this.#kill(action.worker, action.why, action.gently, at)
      case 'release':
        return this.#release(action.generation, action.serving)
      case 'abort-release':
        return this.#attempt('abort the release', () => this.#releaser.abort(action.why))
      case 'set-timer':
        return this.#setTimer(action.timer, action.after)
      case 'clear-timer':
        return this.#clearTimer(action.timer)
      case 'announce':
        this.#attempt('announce', () => this.#announce(action.what, this.#state))
        return this.#attempt('record', () => this.#chronicle.announce(action.what, this.#state, at))
      case 'reply': {
        const { command: id, ok, message, details } = action
        const command = this.#commands.get(id)
        this.#commands.delete(id)
        command?.resolve(ok ? { ok, message } : { ok, code: command.code, message, ...(details && { details }) })
        return
      }
      case 'exit':
        return this.#end({ code: action.code, why: action.why, error: null, failures: {} })
    }
  }

  #spawn(id: number, generation: number): void {
    try {
      const handle = new WorkerHandle(
        { ...this.#options.workerConfig, ...this.settings.forWorker(), id, generation },
        {
          onTold: (message) => {
            if (this.#exchange.told(id, message) || this.settings.told(id, message)) return
            this.#post({ type: 'told', worker: id, message, at: monotonicNow() })
          },
          onExit: (code, signal) => {
            this.#handles.delete(id)
            this.#exchange.left(id)
            this.#post({ type: 'exited', worker: id, code, signal, at: monotonicNow() })
            if (this.#handles.size === 0) this.#onLastGone()
          },
          onSpawnFailed: (why) => this.#post({ type: 'spawn-failed', worker: id, why, at: monotonicNow() }),
        },
      )
      this.#handles.set(id, handle)
      this.#exchange.joined(id, (topic, message) => handle.order({ type: 'relay', topic, message }))
      if (handle.pid !== null) this.#post({ type: 'spawned', worker: id, pid: handle.pid, at: monotonicNow() })
    } catch (error) {
      this.#post({ type: 'spawn-failed', worker: id, why: (error as Error).message, at: monotonicNow() })
    }
  }

  #kill(id: number, why: KillReason, gently: boolean, at: number): void {
    if (gently) return this.#killGently(id, why)
    const worker = this.#state.workers.find((one) => one.id === id)
    if (worker !== undefined && why === 'frozen') {
      this.#attempt('record', () => this.#chronicle.killedFrozen(worker, at))
    }
    this.#attempt('kill', () => this.#handles.get(id)?.kill())
  }

  /** Through its watchdog, which gives last answers. */
  #killGently(id: number, why: KillReason): void {
    const handle = this.#handles.get(id)
    if (handle === undefined) return
    after(KILL_BEHIND, () => {
      if (this.#handles.get(id) === handle) this.#attempt('kill', () => handle.kill())
    })
    this.#attempt('kill', () => handle.order({ type: 'die', why }))
  }

  #release(generation: number, serving: boolean): void {
    const ended = (ok: boolean, why: string): void => {
      this.#post({ type: 'released', generation, ok, why, at: monotonicNow() })
    }
    try {
      this.#releaser.run(generation, serving, ended)
    } catch (error) {
      ended(false, `the release could not be started: ${(error as Error).message}`)
    }
  }

  #setTimer(timer: Timer, limit: Parameters<typeof after>[0]): void {
    this.#clearTimer(timer)
    this.#timers.set(
      keyOf(timer),
      after(limit, () => {
        this.#timers.delete(keyOf(timer))
        this.#post({ type: 'timer', timer, at: monotonicNow() })
      }),
    )
  }

  #clearTimer(timer: Timer): void {
    this.#timers.get(keyOf(timer))?.()
    this.#timers.delete(keyOf(timer))
  }
}

/** What a command is answered that the arbiter can no longer carry out. */
const FAILED: CommandOutcome = {
  ok: false,
  code: 'PUNCTUAL_INTERNAL_ERROR',
  message: 'the arbiter has failed and is ending; see its log',
}

function reportError(error: unknown): ReportedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: String(error) }
  const { name, message, stack = `${name}: ${message}` } = error
  return { name, message, stack }
}

function keyOf(timer: Timer): string {
  return timer.of === 'spawn' ? 'spawn' : `${timer.of}:${timer.worker}`
}

/** The message and exit code of an arbiter that did not end as asked; null when it did. */
export function tellEnd(end: ArbiterEnd, name: string, settings: Settings): string | null {
  if (end.code === EXIT.stopped) return null
  const { error } = end
  if (end.code === EXIT.failed) {
    return `${error?.stack ?? ''}\nthe arbiter failed while it handled the event "${end.why}" and has stopped its workers. This is a fault of Punctual: please report it with the stack above`
  }
  if (end.code === EXIT.releaseFailed) return `the release failed, so nothing was started: ${end.why}`
  if (end.code === EXIT.crashLoop) {
    const counted = Object.entries(end.failures).map(([reason, times]) => `${times} ${reason}`)
    const within = settings.crashWindow === UNBOUNDED ? '' : ` within ${formatDuration(settings.crashWindow)}`
    return `gave up: workers of ${name} failed ${settings.crashLimit} times${within} (${counted.join(', ')}); the last: ${end.why}. See \`punctual incidents\``
  }
  const front = error === null ? '' : `${error.stack}\n`
  return `${front}${name} did not boot: ${end.why}${portAdvice(error, settings)}`
}

function portAdvice(error: ReportedError | null, { host, port }: Settings): string {
  if (error?.code === 'EADDRINUSE')
    return `. Another process listens on it: stop that, or choose another with --port (now ${port})`
  if (error?.code === 'EACCES') return `. Ports below 1024 need privileges: choose another with --port (now ${port})`
  if (error?.code === 'EADDRNOTAVAIL')
    return `. This machine has no such address: choose another with --host (now ${host})`
  return ''
}
