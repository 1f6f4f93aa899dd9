import type { Server } from 'node:net'
import { BOOT_TOPIC, bootMetrics } from '../diagnostics/boot-report.ts'
import { logEventsAsJson } from '../diagnostics/event-log.ts'
import { onLeak } from '../diagnostics/incident.ts'
import { AccessLog } from '../http/access-log.ts'
import { ConnectionTable } from '../http/connection-table.ts'
import { sendEmergencyResponses } from '../http/emergency-responses.ts'
import { matchHosts } from '../http/hosts.ts'
import type { LoadShedder } from '../http/load-shedding/load-shedder.ts'
import { addLoadShedding } from '../http/load-shedding/load-shedder.ts'
import { rawResponse } from '../http/raw-response.ts'
import { timeOutRequest } from '../http/respond-instead.ts'
import { Traffic } from '../http/traffic.ts'
import type { BootNote, ToWorker } from '../ipc/messages.ts'
import { applyChange, LINK_DESCRIPTOR, type WorkerConfig } from '../ipc/worker-config.ts'
import { detectAsyncHooks } from '../patches/async-hooks-detector.ts'
import { patchAsyncOperations } from '../patches/async-operations.ts'
import { observeClusterQueries } from '../patches/cluster-queries.ts'
import { patchServers } from '../patches/http-server.ts'
import { patchServerTiming } from '../patches/server-timing.ts'
import { holdSignals } from '../patches/signals.ts'
import { pretendToListen } from '../patches/stop-listening.ts'
import { patchWorkerSockets } from '../patches/worker-sockets.ts'
import { publishQueryRules } from '../query-insight/query-rules.ts'
import { abandonedCount } from '../resilience/bounded-operation.ts'
import { after, afterIo, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { Pulse } from '../watchdog/pulse.ts'
import { startWatchdog } from '../watchdog/watchdog.ts'
import { publishRuntime } from './allow-blocking.ts'
import { AppServers, applyKeepAlive, formatAddress } from './app-servers.ts'
import { AppShutdown } from './app-shutdown.ts'
import { ArbiterChannel, sendToArbiter, sendToArbiterAndFlush } from './arbiter-channel.ts'
import type { MeasuredBoot } from './boot-profile.ts'
import { observeChildProcesses } from './child-processes.ts'
import { deliverSignal } from './deliver-signal.ts'
import { Drain, type DrainResult } from './drain.ts'
import { cleanUpInterrupt, sequenceOf } from './interrupted-request.ts'
import { activeResources } from './lingering.ts'
import type { CloseApp } from './load-entry.ts'
import { noteLocalState } from './local-state.ts'
import { Readiness } from './readiness.ts'
import { checkReady, READY_CHECK } from './ready-check.ts'
import { findSyntaxError, lacksLocation, reportedError, withLocation } from './reported-error.ts'

/** How long the emergency responses may delay the exit of the process. */
const RESPONSES_TIMEOUT = ms(100)
/** How long the exit waits for the watchdog to leave the inspector. */
const SESSIONS_TIMEOUT = ms(500)
/** How long it must have been ready before its generation takes over: it may listen, then throw. */
const SETTLE_TIME = ms(1_000)
/** How long a server on a private port is not taken for that of the app. */
const PRIVATE_ONLY_AFTER = ms(10_000)
/** How long the exit waits for the access log to be written. */
const LOG_TIMEOUT = ms(1_000)
/**
 * How long an app that was sent the message `shutdown` may take to exit, as with PM2
 * (`kill_timeout`): its listener for messages may be for other ones.
 */
const MESSAGE_TIMEOUT = ms(1_600)
/**
 * How long a process may stay alive after its drain until the arbiter learns what it waits for, in
 * milliseconds; half of what is left until `stopTimeout`, if that is less.
 */
const LINGER_AFTER = 2_000

type WorkerState =
  /** The entry is being loaded. */
  | 'loading'
  /**
   * The entry is loaded, or the app listens on the configured port; the worker is not ready yet.
   */
  | 'loaded'
  /** The arbiter knows that the worker serves. */
  | 'ready'
  /** It was ready, and no server listens any more; it may listen again. */
  | 'not-listening'

/** The main thread of a worker: loads the app, becomes ready, serves, and drains on order. */
export class Worker {
  readonly config: WorkerConfig
  readonly traffic: Traffic
  readonly #accessLog: AccessLog
  readonly #loadShedder: LoadShedder
  readonly #pulse = new Pulse()
  readonly #signals = holdSignals()
  readonly #shutdown: AppShutdown
  readonly #startedAt = monotonicNow()
  readonly #channel: ArbiterChannel
  readonly #readiness: Readiness
  readonly #servers: AppServers
  /** Settings that do not apply in this worker, each with the reason. */
  readonly #notes: BootNote[] = []
  /** Ends the profile of the boot; null without `--boot-profile`. */
  endProfile: ((bootMs: number) => MeasuredBoot) | null = null
  #state: WorkerState = 'loading'
  /** A socket of the app has asked the arbiter for its handle. */
  #waitsForHandle = false
  #drain: Drain | null = null
  /** When the order to drain arrived. */
  #drainingSince = 0
  #readyCheck: 'not-begun' | 'asking' | 'passed' = 'not-begun'
  /** Requests of the ready check began before; a stream of HTTP/2 may end after it. */
  #readyCheckUntil = 0
  readonly #onReady: (() => void)[] = []

  constructor(config: WorkerConfig) {
    this.config = config
    const table = new ConnectionTable()
    this.traffic = new Traffic(table, config.settings)
    this.#servers = new AppServers(this.traffic, config)
    const expired = rawResponse('PUNCTUAL_REQUEST_TIMEOUT', config.settings.timeoutStatus === '504' ? 504 : 503)
    const tooSlow = rawResponse('PUNCTUAL_REQUEST_TOO_SLOW')
    this.traffic.deadlines.onTimeout = (scope) => {
      timeOutRequest(this.traffic, scope, scope.endedBy === 'minRequestRate' ? tooSlow : expired)
    }
    this.#pulse.booting = true
    detectAsyncHooks((by) => this.#pulse.addAsyncHooks(by))
    publishRuntime({ sequenceOf, beginBlocking: (name, timeout) => this.#pulse.beginBlocking(name, timeout) })
    onLeak((leak) => sendToArbiter({ type: 'leak', leak }))
    publishQueryRules(config.settings)
    if (config.settings.logFormat === 'json') logEventsAsJson(config.settings, config.id)
    this.#channel = new ArbiterChannel(config, () => this.traffic.inFlight.size)
    this.#readiness = new Readiness(config.settings.readyWhen === 'all', () => this.#becomeReady())
    patchServers(this.traffic)
    this.#patchSockets()
    patchAsyncOperations({
      trace: config.settings.traceWaits === 'on',
      propagateTo: matchHosts(config.settings.propagateDeadlines),
    })
    const admission = addLoadShedding(this.traffic, config.settings)
    if (config.settings.serverTiming === 'on') patchServerTiming()
    const accessLog = new AccessLog(config.settings, config.id)
    const { onEnded } = this.traffic
    this.traffic.onEnded = (scope, outcome) => {
      onEnded?.(scope, outcome)
      const isOurs = scope.startedAt < this.#readyCheckUntil && scope.request.headers['user-agent'] === READY_CHECK
      if (!isOurs) accessLog.requestEnded(scope, outcome)
    }
    this.#accessLog = accessLog
    this.#shutdown = new AppShutdown(this.#signals, async () => {
      await this.#channel.drain()
      // An app that exits at once leaves it no time to be loaded.
      if (this.traffic.inFlight.size > 0) accessLog.open()
      await accessLog.flush(LOG_TIMEOUT)
      for (const server of this.traffic.toListen) pretendToListen(server)
    })
    this.#loadShedder = admission
    // Until a socket has received its handle from the arbiter, the channel keeps the process alive.
    this.traffic.onListen = () => process.channel?.ref()
    observeClusterQueries((waiting) => {
      this.#waitsForHandle = waiting > 0
      if (waiting > 0) process.channel?.ref()
      else this.#releaseProcess()
    })
    this.traffic.onListening = (server) => this.#listening(server)
    this.traffic.onClosed = () => this.#closed()
    this.traffic.onNotListening = () => {
      this.#releaseProcess()
      this.#becomeReady()
    }
    startWatchdog({
      config,
      table,
      pulse: this.#pulse,
      arbiterSocket: process.connected ? LINK_DESCRIPTOR : -1,
      onBeat: (lag, nextBy) => {
        table.abandonedOperations = abandonedCount()
        this.traffic.deadlines.loopTurned(lag, nextBy)
        admission.loopTurned(lag)
        // Read while the main thread may be blocked, before there is anything else to wait for.
        if (this.#pulse.booting) this.#pulse.hasStopListener = this.#shutdown.exists
      },
      onInterrupted: (sequence) => {
        // The worker accepts nothing more, but must stay until its replacement serves.
        process.channel?.ref()
        cleanUpInterrupt(this.traffic, sequence)
      },
      onOrder: (order) => this.#execute(order),
      onFailed: (error) => this.#crash(new Error('the watchdog thread failed', { cause: error })),
    })
    observeChildProcesses((command) => {
      if (this.#state === 'loading' || this.#state === 'loaded') sendToArbiter({ type: 'child-started', command })
    })
    this.#handleExit()
  }

  /** Logs it when the worker is ready. */
  readonly note = (note: BootNote): void => void this.#notes.push(note)

  /** The entry is loaded. */
  loaded(closeApp: CloseApp | null): void {
    this.#shutdown.close = closeApp
    this.#become('loaded')
    this.#releaseProcess()
    this.#becomeReady()
  }

  /** The entry cannot be loaded: reports the error, and exits. */
  async failBoot(thrown: unknown): Promise<void> {
    const { entry, appFlags } = this.config
    const location = lacksLocation(thrown) ? await findSyntaxError(thrown, entry, appFlags) : null
    await sendToArbiterAndFlush({ type: 'boot-failed', error: withLocation(reportedError(thrown), location) })
    process.exit(1)
  }

  #patchSockets(): void {
    this.traffic.hasPrivateServers = this.config.settings.port !== 0
    patchWorkerSockets({
      socketFiles: this.config.socketFiles,
      sharesFreePorts: this.config.settings.port === 0,
      onShared: (option, address) =>
        this.#notes.push({
          event: 'shared-socket',
          message: `${option} does not apply to ${address}: all workers share the socket, as one process would have it`,
        }),
      gate:
        this.config.settings.readyPath === '' || this.config.accepts === 'at-once'
          ? null
          : (open) => void (this.#state === 'ready' ? open() : this.#onReady.push(open)),
      // The app listens after all, though its export is being served.
      yields: (server) => server === this.traffic.ofExport,
      releases: () => !this.traffic.closing && (this.#state !== 'ready' || this.traffic.servers.size > 1),
      onReleased: (address, port) => sendToArbiter({ type: 'socket-released', address, port }),
    })
  }

  #listening(server: Server): void {
    applyKeepAlive(server, this.config)
    // A probe for a free port closes its server when this event reaches it.
    afterIo(() => {
      if (!server.listening) return this.#becomeReady()
      if (!this.traffic.privateServers.has(server)) return this.#listens(server)
      this.#releaseProcess()
      const listenIfOnly = (): void => {
        if (server.listening && this.#servers.listening === undefined) this.#listens(server)
      }
      // Some apps have no other server.
      after(PRIVATE_ONLY_AFTER, listenIfOnly, { keepAlive: false })
    })
  }

  #listens(server: Server): void {
    this.#servers.add(server)
    if (this.#servers.isConfigured(server)) {
      const note = this.#servers.hostNote(server)
      if (note !== null) this.#notes.push(note)
      this.#become('loaded')
    }
    this.#releaseProcess()
    this.#becomeReady()
  }

  /** The app has closed a server. In a later turn, because it may listen again at once. */
  #closed(): void {
    if (this.#state !== 'ready' || this.#drain !== null) return
    afterIo(() => {
      if (this.#state !== 'ready' || this.#drain !== null) return
      if (!this.#servers.haveClosed) return
      this.#become('not-listening')
      sendToArbiter({ type: 'not-listening', served: this.traffic.table.requests })
    })
  }

  /**
   * From here on the app decides how long the process lives: without a server or a timer it exits,
   * as under `node`.
   */
  #releaseProcess(): void {
    const isLoading = this.#state === 'loading' || this.traffic.toListen.size > 0 || this.#waitsForHandle
    if (!isLoading && this.#drain === null) process.channel?.unref()
  }

  #become(state: Exclude<WorkerState, 'loading'>): void {
    if (state !== 'loaded' || this.#state === 'loading') this.#state = state
  }

  #becomeReady(): void {
    if (this.#drain !== null || (this.#state !== 'loaded' && this.#state !== 'not-listening')) return
    const server = this.#servers.candidate
    if (server === undefined) return
    this.#readiness.startServing()
    if (this.#readiness.isHeld || !this.#isAnswering(server)) return
    const isFirst = this.#state !== 'not-listening'
    this.#become('ready')
    for (const run of this.#onReady.splice(0)) run()
    this.#servers.serve(server)
    const bootMs = Math.round(monotonicNow() - this.#startedAt)
    const ready = { type: 'ready', bootMs, address: formatAddress(server.address()), notes: this.#notes } as const
    if (!isFirst) return sendToArbiter(ready)
    const localState = noteLocalState(this.config.entry, this.config.settings.workers)
    if (localState !== null) this.#notes.push(localState)
    this.#accessLog.prepare()
    this.#pulse.booting = false
    process.off('uncaughtException', this.#onBootException)
    process.off('unhandledRejection', this.#onBootRejection)
    const measured = this.endProfile?.(bootMs)
    if (measured !== undefined) this.#channel.report(BOOT_TOPIC, () => measured.report, bootMetrics)
    sendToArbiter(measured === undefined ? ready : { ...ready, profile: measured.lines })
    // Timers of the app that are due earlier run earlier, however slow the machine is.
    after(SETTLE_TIME, () => sendToArbiter({ type: 'settled' }), { keepAlive: false })
  }

  /** Whether the app has answered `readyPath`; begins to ask if it has not been asked yet. */
  #isAnswering(first: Server): boolean {
    const { readyPath: path, port, requestTimeout } = this.config.settings
    if (path === '' || this.#readyCheck === 'passed') return true
    if (this.#readyCheck === 'asking') return false
    this.#readyCheck = 'asking'
    this.#readyCheckUntil = Number.POSITIVE_INFINITY
    checkReady({
      server: () => this.#servers.listening ?? first,
      path,
      port,
      requestTimeout,
      onReady: () => {
        this.#readyCheck = 'passed'
        this.#readyCheckUntil = monotonicNow()
        this.#becomeReady()
      },
      isOver: () => this.#drain !== null,
      onAnswer: (answer) => sendToArbiter({ type: 'not-ready', answer }),
    })
    return false
  }

  #execute(order: ToWorker): void {
    if (order.type === 'drain') {
      this.#channel.drainStarted()
      if (this.#drain === null) this.#startDrain(order.keepIdle)
      else if (!order.keepIdle) this.#drain.closeIdle()
    } else if (order.type === 'abort') {
      void this.#drain?.abort()
    } else if (order.type === 'settings') {
      applyChange(this.config.settings, order.change)
      this.#accessLog.settingsChanged()
      this.#loadShedder.settingsChanged()
      if (order.by === 'worker') sendToArbiter({ type: 'settings-changed', ask: order.ask })
    } else if (order.type === 'relay') {
      this.#channel.receive(order.topic, order.message)
    } else if (order.type === 'signal') {
      deliverSignal(order.signal, order.inspect)
    }
  }

  #startDrain(keepIdle: boolean): void {
    this.#drainingSince = monotonicNow()
    // The process must not exit by itself before the app is closed. Only once: a later order may
    // come when nothing but the app keeps it.
    process.channel?.ref()
    const onDone = (result: DrainResult): void => void this.#exit(result)
    this.#drain = new Drain(this.traffic, this.config.settings, keepIdle, this.#shutdown, onDone)
  }

  async #exit(result: DrainResult): Promise<void> {
    sendToArbiter({ type: 'drained', ...result })
    await this.#shutdown.start()
    await this.#shutdown.closed
    await this.#accessLog.close(LOG_TIMEOUT)
    const { notice } = this.#shutdown
    // An app that handles SIGTERM exits by itself; `stopTimeout` of the arbiter bounds it.
    if (notice === null) process.exit(0)
    if (notice === 'message') after(MESSAGE_TIMEOUT, () => process.exit(0), { keepAlive: false })
    process.channel?.unref()
    const left = this.#drainingSince + this.config.settings.stopTimeout - monotonicNow()
    after(ms(Math.max(0, Math.min(LINGER_AFTER, left / 2))), () => this.#reportLingering(), { keepAlive: false })
  }

  /** The listeners of the app have run, and the process has not exited. */
  #reportLingering(): void {
    const { notice } = this.#shutdown
    if (notice !== null) sendToArbiter({ type: 'lingering', notice, waitingFor: activeResources() })
  }

  // With a listener of its own, an app survives such errors.
  readonly #onBootException = (thrown: unknown): void => {
    if (process.listenerCount('uncaughtException') === 1) void this.failBoot(thrown)
  }

  readonly #onBootRejection = (thrown: unknown): void => {
    if (process.listenerCount('unhandledRejection') === 1) void this.failBoot(thrown)
  }

  /**
   * Reports an error that the app does not catch, and answers the clients when the process exits.
   */
  #handleExit(): void {
    process.on('uncaughtException', this.#onBootException)
    process.on('unhandledRejection', this.#onBootRejection)
    process.on('uncaughtExceptionMonitor', (error) => {
      if (this.#state === 'ready' || this.#state === 'not-listening')
        sendToArbiter({ type: 'crashing', error: reportedError(error) })
    })
    process.on('exit', (code) => {
      this.#drain?.exiting(code)
      this.#accessLog.flushNow()
      sendEmergencyResponses(this.traffic.table, rawResponse('PUNCTUAL_WORKER_LOST'), RESPONSES_TIMEOUT)
      this.#pulse.endSessions(SESSIONS_TIMEOUT)
    })
  }

  async #crash(error: Error): Promise<void> {
    await sendToArbiterAndFlush({ type: 'crashing', error: reportedError(error) })
    process.exit(1)
  }
}
