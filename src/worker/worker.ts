import type { AddressInfo, Server } from 'node:net'
import { onLeak } from '../diagnostics/leak-report.ts'
import { BOOT_TOPIC } from '../diagnostics/modules/boot-report.ts'
import { publishQueryRules } from '../diagnostics/query-rules.ts'
import { AccessLog } from '../http/access-log.ts'
import { ConnectionTable } from '../http/connection-table.ts'
import { sendEmergencyResponses } from '../http/emergency-responses.ts'
import { addLoadShedding } from '../http/load-shedding/admit.ts'
import type { LoadShedder } from '../http/load-shedding/load-shedder.ts'
import { rawResponse } from '../http/raw-response.ts'
import { timeOutRequest } from '../http/respond-instead.ts'
import { Traffic } from '../http/traffic.ts'
import type { ToWorker } from '../ipc/messages.ts'
import { applyChange, LINK_DESCRIPTOR, type WorkerConfig } from '../ipc/worker-config.ts'
import { detectAsyncHooks } from '../patches/async-hooks-detector.ts'
import { patchAsyncOperations } from '../patches/async-operations.ts'
import { patchServers } from '../patches/http-server.ts'
import { patchServerTiming } from '../patches/server-timing.ts'
import { holdSignals } from '../patches/signals.ts'
import { abandonedCount } from '../resilience/bounded-operation.ts'
import { monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { Pulse } from '../watchdog/pulse.ts'
import { startWatchdog } from '../watchdog/watchdog.ts'
import { publishRuntime } from './allow-blocking.ts'
import { ArbiterChannel, sendToArbiter, sendToArbiterAndFlush } from './arbiter-channel.ts'
import { BootPhase } from './boot-phase.ts'
import type { MeasuredBoot } from './boot-profile.ts'
import { Drain, type DrainResult } from './drain.ts'
import { cleanUpInterrupt } from './interrupt-cleanup.ts'
import { applyKeepAlive } from './keep-alive.ts'
import type { CloseApp } from './load-entry.ts'
import { lacksPlace, placeOfSyntaxError, reportedError, withPlace } from './reported-error.ts'
import { sequenceOf } from './sequence-of.ts'

/** What the clients of a worker that ends by itself may be told before it is gone. */
const LAST_ANSWERS_LIMIT = ms(100)
/** How long a worker that leaves waits for the reader of its access log. */
const LOG_LIMIT = ms(1_000)

/** The main thread of a worker: it is watched, becomes ready, serves, and leaves when it is told. */
export class Worker {
  readonly config: WorkerConfig
  readonly traffic: Traffic
  readonly #accessLog: AccessLog
  readonly #admission: LoadShedder
  readonly #pulse = new Pulse()
  readonly #signals = holdSignals()
  readonly #startedAt = monotonicNow()
  readonly #line: ArbiterChannel
  readonly #boot: BootPhase
  /** Settings that do not apply here, and why. */
  readonly #notes: string[] = []
  /** Ends the profile of the boot, where it is profiled. */
  endProfile: ((bootMs: number) => MeasuredBoot) | null = null
  #ready = false
  #loaded = false
  /** On the configured port, that is. */
  #listensWhereTold = false
  #address: string | null = null
  #closeApp: CloseApp | null = null
  #leaving: Drain | null = null

  constructor(config: WorkerConfig) {
    this.config = config
    const table = new ConnectionTable()
    this.traffic = new Traffic(table, config.settings)
    const expired = rawResponse('PUNCTUAL_REQUEST_TIMEOUT', config.settings.timeoutStatus === '504' ? 504 : 503)
    this.traffic.deadlines.onTimeout = (scope) => timeOutRequest(this.traffic, scope, expired)
    this.#pulse.booting = true
    detectAsyncHooks((by) => this.#pulse.addAsyncHooks(by))
    publishRuntime({ sequenceOf, beginBlocking: (name, limit) => this.#beginBlocking(name, limit) })
    onLeak((leak) => sendToArbiter({ type: 'leak', leak }))
    publishQueryRules(config.settings)
    this.#line = new ArbiterChannel(config, () => this.traffic.inFlight.size)
    this.#boot = new BootPhase(config.settings.readyWhen === 'all', () => this.#becomeReady())
    patchServers(this.traffic)
    patchAsyncOperations({
      trace: config.settings.traceWaits === 'on',
      propagate: config.settings.propagateDeadline === 'on',
    })
    const admission = addLoadShedding(this.traffic, config.settings)
    if (config.settings.serverTiming === 'on') patchServerTiming()
    const accessLog = new AccessLog(config.settings, config.id)
    const { onEnded } = this.traffic
    this.traffic.onEnded = (scope, outcome) => {
      onEnded?.(scope, outcome)
      accessLog.requestEnded(scope, outcome)
    }
    this.#accessLog = accessLog
    this.#admission = admission
    // A server gets its socket from the arbiter: until it has, the channel must keep the process alive, as listening itself would.
    this.traffic.onListen = () => process.channel?.ref()
    this.traffic.onListening = (server) => this.#listening(server)
    this.traffic.onNotListening = () => {
      this.#leaveItToApp()
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
      },
      onInterrupted: (sequence) => {
        // It will accept nothing more, and yet must stay until another serves in its place.
        process.channel?.ref()
        cleanUpInterrupt(this.traffic, sequence)
      },
      onOrder: (order) => this.#obey(order),
      onFailed: (error) => this.#crash(new Error('the watchdog thread has failed', { cause: error })),
    })
    this.#explainEnd()
  }

  /** The entry has been loaded to its end. */
  loaded(closeApp: CloseApp | null): void {
    this.#closeApp = closeApp
    this.#loaded = true
    this.#leaveItToApp()
    this.#becomeReady()
  }

  /** The entry could not be loaded: says why, and ends the process. */
  async failBoot(thrown: unknown): Promise<void> {
    const { entry, appFlags } = this.config
    const place = lacksPlace(thrown) ? await placeOfSyntaxError(thrown, entry, appFlags) : null
    await sendToArbiterAndFlush({ type: 'boot-failed', error: withPlace(reportedError(thrown), place) })
    process.exit(1)
  }

  #listening(server: Server): void {
    const note = applyKeepAlive(server, this.config)
    if (note !== null) this.#notes.push(note)
    const address = server.address()
    const isOurs = (address as AddressInfo | null)?.port === this.config.settings.port
    // Of several servers the one on the configured port is the app's own.
    if (this.#address === null || isOurs) this.#address = describe(address)
    if (isOurs) {
      this.#loaded = true
      this.#listensWhereTold = true
    }
    this.#leaveItToApp()
    this.#becomeReady()
  }

  /** From here on the app alone decides how long the process lives: one that neither listens nor waits ends, as it would without us. */
  #leaveItToApp(): void {
    if (this.#loaded && this.traffic.toListen.size === 0 && this.#leaving === null) process.channel?.unref()
  }

  #becomeReady(): void {
    if (this.#ready || !this.#loaded || this.#address === null) return
    // Another server that is about to listen may be the app's own.
    if (!this.#listensWhereTold && this.traffic.toListen.size > 0) return
    this.#boot.serve()
    if (this.#boot.isHeld) return
    this.#ready = true
    this.#accessLog.prepare()
    this.#pulse.booting = false
    process.off('uncaughtException', this.#onBootException)
    process.off('unhandledRejection', this.#onBootRejection)
    const bootMs = Math.round(monotonicNow() - this.#startedAt)
    const measured = this.endProfile?.(bootMs)
    if (measured !== undefined) this.#line.report(BOOT_TOPIC, () => measured.report)
    const ready = { type: 'ready', bootMs, address: this.#address, notes: this.#notes } as const
    sendToArbiter(measured === undefined ? ready : { ...ready, profile: measured.lines })
  }

  #obey(order: ToWorker): void {
    if (order.type === 'drain') {
      this.#line.leaving()
      // From here on the process must not end by itself for want of work: the app has not been closed yet.
      process.channel?.ref()
      this.#leaving ??= new Drain(this.traffic, this.config.settings, (farewell) => void this.#leave(farewell))
      if (!order.keepIdle) this.#leaving.closeIdle()
    } else if (order.type === 'abort') {
      this.#leaving?.abort()
    } else if (order.type === 'settings') {
      applyChange(this.config.settings, order.change)
      this.#accessLog.settingsChanged()
      this.#admission.settingsChanged()
      if (order.by === 'worker') sendToArbiter({ type: 'settings-changed', ask: order.ask })
    } else if (order.type === 'relay') {
      this.#line.heard(order.topic, order.message)
    }
  }

  async #leave(farewell: DrainResult): Promise<void> {
    sendToArbiter({ type: 'drained', ...farewell })
    await this.#line.drain()
    try {
      await this.#closeApp?.()
    } catch (error) {
      console.error(error)
    }
    await this.#accessLog.close(LOG_LIMIT)
    // An app that cleans up at SIGTERM ends the process itself; the arbiter's stop limit bounds it.
    if (!this.#signals.release()) process.exit(0)
    process.channel?.unref()
  }

  #beginBlocking(name: string, limit: number): () => void {
    const outer = { name: this.#pulse.blockingName, until: this.#pulse.blockingUntil }
    this.#pulse.setBlocking(name, monotonicNow() + limit)
    return () => this.#pulse.setBlocking(outer.name ?? '', outer.until)
  }

  // An app with a listener of its own has decided to live with such errors.
  readonly #onBootException = (thrown: unknown): void => {
    if (process.listenerCount('uncaughtException') === 1) void this.failBoot(thrown)
  }

  readonly #onBootRejection = (thrown: unknown): void => {
    if (process.listenerCount('unhandledRejection') === 1) void this.failBoot(thrown)
  }

  /** No process of ours ends without a word: not by an error nobody caught, and not for its clients either. */
  #explainEnd(): void {
    process.on('uncaughtException', this.#onBootException)
    process.on('unhandledRejection', this.#onBootRejection)
    process.on('uncaughtExceptionMonitor', (error) => {
      if (this.#ready) sendToArbiter({ type: 'crashing', error: reportedError(error) })
    })
    process.on('exit', () => {
      sendEmergencyResponses(this.traffic.table, rawResponse('PUNCTUAL_WORKER_LOST'), LAST_ANSWERS_LIMIT)
    })
  }

  async #crash(error: Error): Promise<void> {
    await sendToArbiterAndFlush({ type: 'crashing', error: reportedError(error) })
    process.exit(1)
  }
}

function describe(address: AddressInfo | string | null): string {
  if (address === null) return 'unknown'
  if (typeof address === 'string') return address
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`
}
