import type { Incident, IncidentSummary, ReportedError } from '../diagnostics/incident.ts'
import type { IncidentStore } from '../diagnostics/incident-store.ts'
import type { Log } from '../diagnostics/log.ts'
import type { ReportedMetrics } from '../diagnostics/metrics.ts'
import type { Status } from '../diagnostics/status.ts'
import { EXIT } from '../errors/codes.ts'
import type { FromMain, FromWatchdog, KillReason } from '../ipc/messages.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { type KeptHandles, keepListeningHandles } from '../patches/listening-handles.ts'
import { after, afterIo, type Cancel, every, monotonicNow, wallClock } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import type { Installation } from '../system/installation.ts'
import { announce, announceRestartDue } from './announce.ts'
import type { ArbiterControl, CommandOutcome, ScaleChange } from './arbiter-control.ts'
import type { ArbiterEnd } from './arbiter-end.ts'
import { decide } from './decide.ts'
import { EventQueue } from './event-queue.ts'
import type { Action, Command, Event, Timer } from './events.ts'
import { IncidentTracker } from './incident-tracker.ts'
import { MessageRelay, reassignOrphans } from './message-relay.ts'
import { ReleaseRunner } from './release-runner.ts'
import { RuntimeSettings, type RuntimeSettingsOptions } from './runtime-settings.ts'
import type { ServiceManager } from './service-manager.ts'
import { ORDER_SIGNALS, passedSignals } from './signals.ts'
import { initialState, isComplete, type State } from './state.ts'
import { buildStatus } from './status.ts'
import { countReasons } from './worker-events.ts'
import { WorkerProcess } from './worker-process.ts'

export interface ArbiterOptions extends Pick<RuntimeSettingsOptions, 'base' | 'set' | 'configFile'> {
  readonly version: string
  /** The configuration of every worker, without what differs between them. */
  readonly workerConfig: Omit<WorkerConfig, 'id' | 'generation' | 'accepts' | 'socketFiles' | 'settings' | 'set'>
  /** Whether the config file has release steps. */
  readonly releases: boolean
  /** The app's entry, as the operator wrote it. */
  readonly name: string
  readonly log: Log
  readonly store: IncidentStore
  readonly serviceManager: ServiceManager
  /** As `workingDirectory` has it: each generation follows its links again. */
  readonly cwd: string
  readonly installation: Installation
  /** Replaced in tests. Default: `decide`. */
  readonly decide?: typeof decide
}

const TICK_INTERVAL = ms(500)
/** How long a socket stays open on which none of the workers listens, though all are ready. */
const UNUSED_SOCKET_TIMEOUT = ms(10_000)
/** How long a watchdog that was asked to kill its process has until SIGKILL. */
const KILL_GRACE = ms(1_000)
/** How long a failed arbiter waits for its workers; they exit by themselves when it has exited. */
const FAILURE_TIMEOUT = ms(3_000)

/** The answer to commands after the arbiter has failed. */
const FAILED: CommandOutcome = {
  ok: false,
  code: 'PUNCTUAL_INTERNAL_ERROR',
  message: 'the arbiter has failed and is exiting; see its log',
}

/**
 * Supervises the workers. Signals, commands, timers, and messages and exits of workers become
 * events in one queue; `decide` returns the actions, and this class performs them. It never awaits
 * a worker.
 */
export class Arbiter implements ArbiterControl {
  readonly settings: RuntimeSettings
  readonly #options: ArbiterOptions
  readonly #incidents: IncidentTracker
  readonly #relay = new MessageRelay()
  readonly #releases: ReleaseRunner
  readonly #workers = new Map<number, WorkerProcess>()
  readonly #timers = new Map<string, Cancel>()
  /** Commands that wait for their reply, each with the code of its refusal. */
  readonly #commands = new Map<number, { readonly code: string; readonly resolve: (outcome: CommandOutcome) => void }>()
  readonly #events = new EventQueue<Event>({
    handle: (event) => this.#handle(event),
    onFailed: (error, event) => this.#fail(error, event),
  })
  readonly #ended = Promise.withResolvers<ArbiterEnd>()
  readonly #startedAt = monotonicNow()
  readonly #startedOn = wallClock()
  readonly #sockets: KeptHandles = keepListeningHandles()
  #state: State
  #lastCommand = 0
  #onLastExit: () => void = () => {}

  constructor(options: ArbiterOptions) {
    this.#options = options
    this.#incidents = new IncidentTracker(options.store, options.log, options.cwd, options.workerConfig.entry)
    this.#releases = new ReleaseRunner(options)
    reassignOrphans(this.#relay)
    this.settings = new RuntimeSettings({
      ...options,
      stateDir: options.base.settings.stateDir,
      relay: this.#relay,
      onChange: (settings) => this.#applySettings(settings),
    })
    this.#state = initialState(
      this.settings.settings,
      process.pid ^ Math.trunc(this.#startedAt * 1_000),
      // A reload reads the config file again, which may have steps by then.
      options.configFile === null ? 'never' : options.releases ? 'always' : 'reload',
    )
  }

  /** Starts the workers; resolves when the arbiter has stopped. */
  async run(): Promise<ArbiterEnd> {
    const listeners = [
      ...ORDER_SIGNALS.map(
        (signal) => [signal, () => this.#post({ type: 'signal', signal, at: monotonicNow() })] as const,
      ),
      ...passedSignals().map((signal) => [signal, () => this.#passSignal(signal)] as const),
    ]
    for (const [signal, listener] of listeners) process.on(signal, listener)
    const tick = (): void => {
      this.#post({ type: 'tick', at: monotonicNow() })
      this.#sockets.restoreFiles()
      if (isComplete(this.#state)) this.#sockets.closeUnused(UNUSED_SOCKET_TIMEOUT)
    }
    const stopTicking = every(TICK_INTERVAL, tick, { keepAlive: true })
    this.#post({ type: 'start', at: monotonicNow() })

    const end = await this.#ended.promise
    this.#sockets.keepNoMore()
    stopTicking()
    for (const [signal, listener] of listeners) process.off(signal, listener)
    for (const cancel of this.#timers.values()) cancel()
    await this.#incidents.flush()
    return { ...end, error: end.error ?? this.#incidents.lastError, failures: countReasons(this.#state) }
  }

  status(): Status {
    const now = monotonicNow()
    const { name, version, store } = this.#options
    return buildStatus(
      this.#state,
      {
        name,
        version,
        startedAt: this.#startedOn,
        uptimeMs: now - this.#startedAt,
        incidents: store.counts(),
        set: this.settings.setTexts(),
        release: this.#releases.status,
        modules: (worker) => this.#relay.reportsOf(worker),
      },
      now,
    )
  }

  metrics(): ReportedMetrics {
    return this.#relay.metrics
  }

  reload(): Promise<CommandOutcome> {
    return this.#command({ name: 'reload' }, 'PUNCTUAL_RELOAD_FAILED')
  }

  scale(change: ScaleChange): Promise<CommandOutcome> {
    return this.#command({ name: 'scale', change }, 'PUNCTUAL_COMMAND_REFUSED')
  }

  stop(): Promise<CommandOutcome> {
    return this.#command({ name: 'stop' }, 'PUNCTUAL_STOP_FAILED')
  }

  incidents(): Promise<readonly IncidentSummary[]> {
    return this.#options.store.list()
  }

  incident(id: string): Promise<Incident | undefined> {
    return this.#options.store.read(id)
  }

  #applySettings(settings: Settings): void {
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

  #post(event: Event): void {
    this.#events.post(event)
  }

  #handle(event: Event): void {
    this.#attempt('record', () => this.#incidents.recordEvent(event, this.#state))
    const { state, actions } = (this.#options.decide ?? decide)(this.#state, event)
    this.#state = state
    if (state.phase === 'stopping') this.#sockets.keepNoMore()
    for (const action of actions) this.#perform(action, event.at)
  }

  /** For what may fail without harm to the workers: logging, and orders that a timeout backs up. */
  #attempt(action: string, attempt: () => void): void {
    try {
      attempt()
    } catch (error) {
      this.#options.log.error({ event: 'action-failed', action, error }, `could not ${action}; the arbiter continues`)
    }
  }

  /**
   * `decide` threw, or a timeout could not be set: the state of the arbiter may be wrong. It kills
   * its workers and exits, so that a service manager can start it again.
   */
  #fail(error: unknown, { type }: Event): void {
    const reported = reportError(error)
    this.#state = { ...this.#state, phase: 'stopping' }
    this.#attempt('record', () => this.#incidents.recordInternalError(reported, type))
    this.#attempt('announce', () => this.#options.serviceManager.stopping())
    this.#attempt('abort the release', () => this.#releases.abort('the arbiter failed'))
    for (const { resolve } of this.#commands.values()) resolve(FAILED)
    const end = (): void => {
      cancel()
      this.#ended.resolve({ code: EXIT.failed, why: type, error: reported, failures: {}, stopFailures: [] })
    }
    const cancel = after(FAILURE_TIMEOUT, end)
    this.#onLastExit = end
    for (const id of this.#workers.keys()) this.#killGently(id, 'stop')
    if (this.#workers.size === 0) end()
  }

  #perform(action: Action, at: number): void {
    switch (action.type) {
      case 'spawn':
        return this.#spawn(action.worker, action.generation)
      case 'drain':
        // A worker that does not receive it is killed at its stop timeout.
        return this.#attempt('drain', () => {
          this.#workers.get(action.worker)?.send({ type: 'drain', keepIdle: this.#state.phase !== 'stopping' })
        })
      case 'stop-listening':
        return this.#attempt('stop listening', () => this.#sockets.closeAll())
      case 'kill':
        return this.#kill(action.worker, action.why, action.gently, at)
      case 'release':
        return this.#release(action.generation, action.serving)
      case 'abort-release':
        return this.#attempt('abort the release', () => this.#releases.abort(action.why))
      case 'set-timer':
        return this.#setTimer(action.timer, action.after)
      case 'clear-timer':
        return this.#clearTimer(action.timer)
      case 'announce': {
        const { log, serviceManager, installation, name: entry } = this.#options
        this.#attempt('announce', () => announce(action.what, this.#state, { log, serviceManager, entry }))
        if (action.what.of === 'reloading')
          this.#attempt('read the installed version', () => announceRestartDue(installation, log))
        return this.#attempt('record', () => this.#incidents.recordAnnouncement(action.what, this.#state, at))
      }
      case 'reply': {
        const { command: id, ok, message, details } = action
        const command = this.#commands.get(id)
        this.#commands.delete(id)
        command?.resolve(ok ? { ok, message } : { ok, code: command.code, message, ...(details && { details }) })
        return
      }
      case 'exit': {
        const { code, why, failures: stopFailures = [] } = action
        // In a later turn, so that commands which wait for the stop are answered.
        afterIo(() => this.#ended.resolve({ code, why, error: null, failures: {}, stopFailures }))
        return
      }
    }
  }

  #spawn(id: number, generation: number): void {
    const remove = (): void => {
      this.#workers.delete(id)
      this.#relay.removeWorker(id)
    }
    const onSpawnFailed = (why: string): void => {
      remove()
      this.#post({ type: 'spawn-failed', worker: id, why, at: monotonicNow() })
    }
    const onExit = (code: number | null, signal: string | null): void => {
      remove()
      this.#post({ type: 'exited', worker: id, code, signal, at: monotonicNow() })
      if (this.#workers.size === 0) this.#onLastExit()
    }
    const onDisconnected = (): void => this.#post({ type: 'disconnected', worker: id, at: monotonicNow() })
    const onMessage = (message: FromMain | FromWatchdog): void => {
      if (message.type === 'socket-released') return this.#sockets.release(message.address, message.port)
      if (this.#relay.handle(id, message) || this.settings.handle(id, message)) return
      this.#post({ type: 'message', worker: id, message, at: monotonicNow() })
    }
    try {
      const accepts = this.#state.phase === 'starting' ? 'at-once' : 'when-ready'
      const config: WorkerConfig = {
        ...this.#options.workerConfig,
        ...this.settings.forWorker(),
        id,
        generation,
        accepts,
        socketFiles: this.#sockets.files(),
      }
      const { cwd, installation } = this.#options
      this.#attempt('enter the working directory', () => process.chdir(cwd))
      const worker = new WorkerProcess(
        config,
        { cwd, installation },
        {
          onMessage,
          onDisconnected,
          onExit,
          onSpawnFailed,
        },
      )
      this.#workers.set(id, worker)
      this.#relay.addWorker(id, (message) => worker.send(message))
      if (worker.pid !== null) this.#post({ type: 'spawned', worker: id, pid: worker.pid, at: monotonicNow() })
    } catch (error) {
      onSpawnFailed((error as Error).message)
    }
  }

  #kill(id: number, why: KillReason, gently: boolean, at: number): void {
    if (gently) return this.#killGently(id, why)
    const worker = this.#state.workers.find((one) => one.id === id)
    if (worker !== undefined && why === 'frozen') {
      this.#attempt('record', () => this.#incidents.recordFrozenKill(worker, at))
    }
    this.#attempt('kill', () => this.#workers.get(id)?.kill())
  }

  /** Asks the watchdog, which sends emergency responses first. */
  #killGently(id: number, why: KillReason): void {
    const worker = this.#workers.get(id)
    if (worker === undefined) return
    after(KILL_GRACE, () => {
      if (this.#workers.get(id) === worker) this.#attempt('kill', () => worker.kill())
    })
    this.#attempt('kill', () => worker.send({ type: 'die', why }))
  }

  #release(generation: number, serving: boolean): void {
    const onEnd = (ok: boolean, why: string): void =>
      this.#post({ type: 'released', generation, ok, why, at: monotonicNow() })
    void this.#releases.run(generation, serving, this.settings.settings).then(
      ({ ok, message }) => onEnd(ok, message),
      (error: Error) => onEnd(false, `could not start the release: ${error.message}`),
    )
  }

  /** An app may listen for a signal of its own, such as to write a heap snapshot. */
  #passSignal(signal: NodeJS.Signals): void {
    const { workers } = this.#state
    const inspected = workers.find(({ life }) => life === 'ready') ?? workers[0]
    for (const [id, worker] of this.#workers) {
      this.#attempt('pass a signal', () => worker.send({ type: 'signal', signal, inspect: id === inspected?.id }))
    }
    const count = this.#workers.size === 1 ? '1 worker' : `${this.#workers.size} workers`
    this.#options.log.info(
      { event: 'signal-passed', signal, workers: this.#workers.size },
      `passed ${signal} to ${count}; it has no effect unless the app listens for it`,
    )
  }

  #setTimer(timer: Timer, timeout: Milliseconds): void {
    this.#clearTimer(timer)
    this.#timers.set(
      keyOf(timer),
      after(timeout, () => {
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

function keyOf(timer: Timer): string {
  return 'worker' in timer ? `${timer.of}:${timer.worker}` : timer.of
}

function reportError(error: unknown): ReportedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), stack: String(error) }
  const { name, message, stack = `${name}: ${message}` } = error
  return { name, message, stack }
}
