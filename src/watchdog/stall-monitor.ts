import { readFileSync } from 'node:fs'
import type { KernelEvidence, NotInterruptedReason, RequestLine, StallEvidence } from '../diagnostics/incident.ts'
import { KernelWatch } from '../diagnostics/kernel-watch.ts'
import type { ConnectionTable } from '../http/connection-table.ts'
import { sendEmergencyResponses } from '../http/emergency-responses.ts'
import { rawResponse } from '../http/raw-response.ts'
import type { FromWatchdog, KillReason } from '../ipc/messages.ts'
import { monotonicNow, pause } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import type { Settings } from '../settings/settings.ts'
import { descendants, killAll } from '../system/process-tree.ts'
import { type Capture, MainThread, PROMPT } from './main-thread.ts'
import { LOOK_INTERVAL, type Pulse } from './pulse.ts'
import { StallDetector, type StallThresholds } from './stall-detector.ts'

/** How long a stage waits for the stack before it goes on without one, in milliseconds. */
const STACK_TIMEOUT = 500
/** Within this time of an interrupt the event loop must turn, in milliseconds. */
const TURN_TIMEOUT = 500
/** How long the emergency responses may delay the kill. */
const RESPONSES_TIMEOUT = ms(100)
/** How long the kill waits for the main thread to pause, in milliseconds. */
const FREEZE_TIMEOUT = 50
/** Requests in flight that an incident lists. */
const MAX_REQUESTS = 50
/** Seconds of event loop lag that an incident shows. */
const LAG_HISTORY = 60
/** A `bootTimeout` above it counts as this, in milliseconds: a boot that hangs is reported. */
const LONGEST_BOOT = 60_000
/** Milliseconds between two checks for a debugger. */
const DEBUGGER_CHECK_INTERVAL = 250
/** The state ESTABLISHED in `/proc/net/tcp`. */
const ESTABLISHED = '01'

/**
 * Watches the main thread of its own process: reports what it sees, and interrupts or kills once
 * the thresholds of the settings have passed.
 */
export class StallMonitor {
  readonly #pulse: Pulse
  readonly #table: ConnectionTable
  readonly #send: (message: FromWatchdog) => void
  readonly #detector: StallDetector
  readonly #main: MainThread
  readonly #kernel = new KernelWatch()
  readonly #response = rawResponse('PUNCTUAL_WORKER_LOST')
  readonly #lagHistory: number[] = []
  /** True once the process is being killed: nothing else may be started. */
  #killing = false
  /** The process exits, and the sessions that it must not wait for are closed. */
  #isExiting = false
  #wasInterrupted = false
  #reportHadStack = false
  /** Sequence number of the request that the report names; 0 for none. */
  #reported = 0
  /** The report in progress; later messages about the stall wait for it. */
  #reporting: Promise<void> = Promise.resolve()
  #debugged = { at: 0, value: false }

  constructor(pulse: Pulse, table: ConnectionTable, settings: Settings, send: (message: FromWatchdog) => void) {
    this.#pulse = pulse
    this.#table = table
    this.#main = new MainThread((by) => pulse.addSessions(by), !pulse.inspectorDenied)
    this.#send = send
    this.#detector = new StallDetector(thresholdsOf(settings), ms(LOOK_INTERVAL))
  }

  /** Looks at the pulse, and does what is due. */
  look(): void {
    if (this.#killing) return
    if (this.#pulse.exiting && !this.#isExiting) {
      this.#isExiting = true
      this.#main.release()
    }
    const now = monotonicNow()
    const { lastBeat, booting, blockingUntil } = this.#pulse
    const isStalled = lastBeat > 0 && now - lastBeat > LOOK_INTERVAL * 5
    // Early, so that the share of CPU is measured over more than an instant.
    if (isStalled) this.#kernel.begin()
    else this.#kernel.reset()
    const debugged = isStalled && this.debugged(now)
    const due = this.#detector.look({
      now,
      lastBeat,
      booting,
      blockingUntil: blockingUntil,
      debugged,
      interruptAt: this.#interruptAt(),
    })
    if (due === 'report') this.#reporting = this.#report()
    else if (due === 'interrupt') void this.#interrupt()
    else if (due === 'kill') void this.die('stall')
    else if (due === 'ended') void this.#ended(this.#detector.stalledFor)
  }

  /** Whether a debugger is attached to the main thread; checked at most four times a second. */
  debugged(now: number): boolean {
    if (now - this.#debugged.at > DEBUGGER_CHECK_INTERVAL)
      this.#debugged = { at: now, value: isDebugged(this.#pulse.inspectorPort) }
    return this.#debugged.value
  }

  /** Records the largest lag of the event loop in the last second, in milliseconds. */
  recordLag(lag: number): void {
    this.#lagHistory.push(Math.round(lag))
    if (this.#lagHistory.length > LAG_HISTORY) this.#lagHistory.shift()
  }

  /** Pauses the main thread, sends the emergency responses, and kills the process with SIGKILL. */
  async die(why: KillReason): Promise<void> {
    if (this.#killing) return
    this.#killing = true
    const kernel = this.#kernel.evidence()
    const capture = await this.#main.freeze(FREEZE_TIMEOUT)
    const evidence = this.#evidence(why === 'boot' ? 'boot' : 'kill', capture ?? this.#main.last, kernel)
    const emergencyResponses = sendEmergencyResponses(this.#table, this.#response, RESPONSES_TIMEOUT)
    this.#send({ type: 'killing', why, evidence, emergencyResponses })
    killAll(descendants(process.pid))
    process.kill(process.pid, 'SIGKILL')
  }

  async #report(): Promise<void> {
    // Before the pause, because a waiting thread wakes up to serve the inspector.
    const kernel = this.#kernel.evidence()
    const excludePause = this.#kernel.excludable()
    const capture = await this.#main.look(STACK_TIMEOUT)
    if (capture !== null) excludePause()
    this.#reportHadStack = capture !== null
    this.#reported = this.#sequence(capture)
    this.#send({ type: 'stall-reported', evidence: this.#evidence('report', capture, kernel) })
  }

  async #interrupt(): Promise<void> {
    const { asyncHooks: hooks, tainted, lastBeat } = this.#pulse
    if (!this.#main.mayInspect) return this.#sendImpossible('no-permission')
    if (hooks > 0) return this.#sendImpossible('async-hooks')
    if (tainted) return this.#sendImpossible('interrupted-before')

    let evidence: StallEvidence | null = null
    const kernel = this.#kernel.evidence()
    const isSpinning = (): boolean => this.#kernel.evidence()?.doing !== 'waiting'
    this.#main.interrupt({
      isSpinning,
      hasEnded: () => this.#pulse.lastBeat !== lastBeat,
      onInterrupt: (capture) => {
        // The main thread waits in this pause, on a busy machine for longer than it was spinning.
        evidence = this.#evidence('interrupt', capture, capture.afterMs > PROMPT ? undefined : kernel)
        this.#pulse.tainted = true
        this.#pulse.requestCleanup(this.#sequence(capture) || -1)
        this.#wasInterrupted = true
      },
    })
    let turned = await this.#turns(lastBeat, TURN_TIMEOUT)
    if (!turned) {
      this.#sendImpossible(
        evidence !== null
          ? 'loop-did-not-turn'
          : this.#main.isResumedByOthers
            ? 'other-debugger'
            : this.#main.isPending
              ? isSpinning()
                ? 'native-code'
                : 'blocked-in-system-call'
              : 'requests-one-after-another',
      )
      // The pause is still pending: if the call returns before the kill, it interrupts after all.
      turned = await this.#turns(lastBeat, Number.POSITIVE_INFINITY)
    }
    if (turned && evidence !== null) {
      this.#send({ type: 'stall-interrupted', stalledForMs: Math.round(this.#pulse.lastBeat - lastBeat), evidence })
    }
  }

  /** Whether the event loop turns within `timeout` milliseconds. */
  async #turns(beat: number, timeout: number): Promise<boolean> {
    for (const startedAt = monotonicNow(); monotonicNow() - startedAt < timeout; ) {
      await pause(ms(LOOK_INTERVAL))
      if (this.#pulse.lastBeat !== beat) return true
    }
    return false
  }

  #sendImpossible(why: NotInterruptedReason): void {
    this.#send({ type: 'interrupt-impossible', why, evidence: this.#evidence('interrupt', this.#main.last) })
  }

  async #ended(stalledFor: number): Promise<void> {
    const late = this.#main.last
    const wasInterrupted = this.#wasInterrupted
    this.#wasInterrupted = false
    this.#reported = 0
    this.#main.release()
    this.#kernel.reset()
    await this.#reporting
    if (wasInterrupted) return
    const evidence = !this.#reportHadStack && late !== null ? this.#evidence('report', late) : null
    this.#send({ type: 'stall-ended', stalledForMs: Math.round(stalledFor), evidence })
  }

  /**
   * The request of a capture; if the stack does not show it, the one whose handler started last.
   */
  #sequence(capture: Capture | null): number {
    return capture === null || capture.sequence === 0 ? this.#table.running : capture.sequence
  }

  #evidence(
    stage: StallEvidence['stage'],
    capture: Capture | null,
    kernel: KernelEvidence | null = this.#kernel.evidence(),
  ): StallEvidence {
    const now = monotonicNow()
    return {
      stage,
      stalledForMs: Math.round(this.#detector.stalledFor),
      stack: capture?.stack ?? null,
      request: this.#requestLine(this.#sequence(capture), now),
      inFlight: this.#table.lines(now, MAX_REQUESTS),
      inFlightCount: this.#table.inFlight,
      kernel,
      loopLag: [...this.#lagHistory],
      memory: {
        rss: process.memoryUsage.rss(),
        heapUsed: this.#pulse.heapUsed,
        heapLimit: this.#pulse.heapLimit,
      },
      allowBlocking: this.#pulse.blockingName,
    }
  }

  #requestLine(sequence: number, now: number): RequestLine | null {
    const slot = this.#slotOf(sequence)
    return slot === -1 ? null : this.#table.line(slot, now)
  }

  #interruptAt(): number {
    const slot = this.#slotOf(this.#reported)
    return slot === -1 ? Number.POSITIVE_INFINITY : this.#table.interruptAtOf(slot)
  }

  #slotOf(sequence: number): number {
    if (sequence <= 0) return -1
    for (const { slot } of this.#table.rows()) {
      if (this.#table.sequenceOf(slot) === sequence) return slot
    }
    return -1
  }
}

/** Read from the settings each time, because they may change while the worker runs. */
function thresholdsOf(settings: Settings): StallThresholds {
  return {
    get report() {
      return settings.stallReportAfter
    },
    get bootReport() {
      const bootTimeout = Math.min(settings.bootTimeout, LONGEST_BOOT)
      return ms(Math.max(settings.stallReportAfter, bootTimeout / 2))
    },
    get interrupt() {
      return settings.stallInterruptAfter
    },
    get kill() {
      return settings.stallKillAfter
    },
    get action() {
      return settings.stallAction
    },
  }
}

/**
 * Whether a client is connected to the inspector on `port`: a thread paused by a debugger looks
 * like a stall. Without `/proc` an open inspector counts as attached.
 *
 * @param port 0 when the inspector is closed
 */
function isDebugged(port: number): boolean {
  if (port === 0) return false
  if (process.platform !== 'linux') return true
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].some((path) => {
    try {
      return readFileSync(path, 'latin1')
        .split('\n')
        .some((row) => {
          const [, local, , state] = row.trim().split(/\s+/)
          return state === ESTABLISHED && local !== undefined && local.endsWith(suffix)
        })
    } catch {
      return false
    }
  })
}
