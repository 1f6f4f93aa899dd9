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
import { type Capture, MainThread } from './main-thread.ts'
import { LOOK_INTERVAL, type Pulse } from './pulse.ts'
import { StallDetector, type StallThresholds } from './stall-detector.ts'

/** How long a stage waits for the stack before it goes on without one. */
const STACK_LIMIT = 500
/** Within this the loop must turn after a cut. */
const TURN_LIMIT = 500
/** What last answers may take before the kill. */
const LAST_ANSWERS_LIMIT = ms(100)
const FREEZE_LIMIT = 50
const MOST_REQUESTS = 50
const LAG_HISTORY = 60

/** Watches the main thread of its own process, says what it sees, and cuts or kills when a limit has passed. */
export class StallMonitor {
  readonly #pulse: Pulse
  readonly #table: ConnectionTable
  readonly #send: (message: FromWatchdog) => void
  readonly #judge: StallDetector
  readonly #main = new MainThread()
  readonly #kernel = new KernelWatch()
  readonly #lastAnswer = rawResponse('PUNCTUAL_WORKER_LOST')
  readonly #lagHistory: number[] = []
  /** True from the kill on: nothing else may be begun. */
  #killing = false
  #wasCut = false
  #reportHadStack = false
  /** The request whose code was found stalling; 0 for none. */
  #reported = 0
  /** The report under way: what follows it must not be said before it. */
  #reporting: Promise<void> = Promise.resolve()
  #debugged = { at: 0, value: false }

  constructor(pulse: Pulse, table: ConnectionTable, settings: Settings, send: (message: FromWatchdog) => void) {
    this.#pulse = pulse
    this.#table = table
    this.#send = send
    this.#judge = new StallDetector(limitsOf(settings), ms(LOOK_INTERVAL))
  }

  /** One look at the pulse, and what it calls for. */
  look(): void {
    if (this.#killing) return
    const now = monotonicNow()
    const { lastBeat, booting, blockingUntil } = this.#pulse
    const still = lastBeat > 0 && now - lastBeat > LOOK_INTERVAL * 5
    // From early on, so that the share of CPU is measured over more than an instant.
    if (still) this.#kernel.begin()
    else this.#kernel.reset()
    const debugged = still && this.debugged(now)
    const verdict = this.#judge.look({
      now,
      lastBeat,
      booting,
      blockingUntil: blockingUntil,
      debugged,
      interruptAt: this.#cutAt(),
    })
    if (verdict === 'report') this.#reporting = this.#report()
    else if (verdict === 'interrupt') void this.#cut()
    else if (verdict === 'kill') void this.die('stall')
    else if (verdict === 'ended') void this.#ended(this.#judge.stalledFor)
  }

  /** Whether somebody else debugs the main thread; looked up at most four times a second. */
  debugged(now: number): boolean {
    if (now - this.#debugged.at > 250) this.#debugged = { at: now, value: isDebugged(this.#pulse.inspectorPort) }
    return this.#debugged.value
  }

  /** The lag of one more second. */
  recordLag(lag: number): void {
    this.#lagHistory.push(Math.round(lag))
    if (this.#lagHistory.length > LAG_HISTORY) this.#lagHistory.shift()
  }

  /** Pauses the main thread, answers whoever waits on this process, and ends it. */
  async die(why: KillReason): Promise<void> {
    if (this.#killing) return
    this.#killing = true
    const kernel = this.#kernel.evidence()
    const capture = await this.#main.freeze(FREEZE_LIMIT)
    const evidence = this.#evidence(why === 'boot' ? 'boot' : 'kill', capture ?? this.#main.last, kernel)
    const emergencyResponses = sendEmergencyResponses(this.#table, this.#lastAnswer, LAST_ANSWERS_LIMIT)
    this.#send({ type: 'killing', why, evidence, emergencyResponses })
    killAll(descendants(process.pid))
    process.kill(process.pid, 'SIGKILL')
  }

  async #report(): Promise<void> {
    // Before the pause, which makes a thread that waits work for the inspector.
    const kernel = this.#kernel.evidence()
    const capture = await this.#main.look(STACK_LIMIT)
    this.#reportHadStack = capture !== null
    this.#reported = this.#sequence(capture)
    this.#send({ type: 'stall-reported', evidence: this.#evidence('report', capture, kernel) })
  }

  async #cut(): Promise<void> {
    const { asyncHooks: hooks, tainted, lastBeat } = this.#pulse
    if (hooks > 0) return this.#cutFailed('async-hooks')
    if (tainted) return this.#cutFailed('interrupted-before')

    let evidence: StallEvidence | null = null
    const isSpinning = (): boolean => this.#kernel.evidence()?.doing !== 'waiting'
    this.#main.interrupt({
      isSpinning,
      hasEnded: () => this.#pulse.lastBeat !== lastBeat,
      onInterrupt: (capture) => {
        evidence = this.#evidence('interrupt', capture)
        this.#pulse.tainted = true
        this.#pulse.requestCleanup(this.#sequence(capture) || -1)
        this.#wasCut = true
      },
    })
    let turned = await this.#turns(lastBeat, TURN_LIMIT)
    if (!turned) {
      this.#cutFailed(
        evidence !== null
          ? 'loop-did-not-turn'
          : this.#main.isPending
            ? isSpinning()
              ? 'native-code'
              : 'blocked-in-system-call'
            : 'requests-one-after-another',
      )
      // The pause is still pending: when the call returns before the kill, the cut happens after all.
      turned = await this.#turns(lastBeat, Number.POSITIVE_INFINITY)
    }
    if (turned && evidence !== null) {
      this.#send({ type: 'stall-interrupted', stalledForMs: Math.round(this.#pulse.lastBeat - lastBeat), evidence })
    }
  }

  /** Waits until the main loop has turned; false when it did not within `limit`. */
  async #turns(beat: number, limit: number): Promise<boolean> {
    for (const startedAt = monotonicNow(); monotonicNow() - startedAt < limit; ) {
      await pause(ms(LOOK_INTERVAL))
      if (this.#pulse.lastBeat !== beat) return true
    }
    return false
  }

  #cutFailed(why: NotInterruptedReason): void {
    this.#send({ type: 'interrupt-impossible', why, evidence: this.#evidence('interrupt', this.#main.last) })
  }

  async #ended(stalledFor: number): Promise<void> {
    const late = this.#main.last
    const wasCut = this.#wasCut
    this.#wasCut = false
    this.#reported = 0
    this.#main.release()
    this.#kernel.reset()
    await this.#reporting
    if (wasCut) return
    const evidence = !this.#reportHadStack && late !== null ? this.#evidence('report', late) : null
    this.#send({ type: 'stall-ended', stalledForMs: Math.round(stalledFor), evidence })
  }

  /** The request a capture is about; the one whose handler was entered last, where the stack does not tell. */
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
      stalledForMs: Math.round(this.#judge.stalledFor),
      stack: capture?.stack ?? null,
      request: this.#requestLine(this.#sequence(capture), now),
      inFlight: this.#table.lines(now, MOST_REQUESTS),
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

  #cutAt(): number {
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

/** As the settings are at the moment, not as they were at the start. */
function limitsOf(settings: Settings): StallThresholds {
  return {
    get report() {
      return settings.stallReportAfter
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

const ESTABLISHED = '01'

/**
 * Whether somebody is connected to the inspector that listens on `port` of this machine: a paused debugger looks like a
 * stall. Where there is no /proc an open inspector counts as an attached one.
 *
 * @param port 0 when the inspector is not open
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
