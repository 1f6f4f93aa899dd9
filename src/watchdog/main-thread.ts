import { type Debugger, type Runtime, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { StackFrame } from '../diagnostics/incident.ts'
import { completeImmediate } from '../patches/interrupted-immediate.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { ProcessGlobal } from '../system/process-global.ts'

/** What a pause of the main thread shows. */
export interface Capture {
  readonly stack: readonly StackFrame[]
  /** Sequence number of the request that is being executed; 0 for none. */
  readonly sequence: number
  /** Milliseconds from the request for the pause to the pause. */
  readonly afterMs: number
}

/** What an interrupt depends on, asked while the main thread is paused. */
export interface InterruptRequest {
  /** Whether the event loop has turned since the interrupt was due. */
  readonly hasEnded: () => boolean
  /** Whether the main thread has been using the CPU. */
  readonly isSpinning: () => boolean
  /** Called right before the JavaScript is ended. */
  readonly onInterrupt: (capture: Capture) => void
}

/** A pause within this is prompt: JavaScript was running. Later, a call had to return first. */
export const PROMPT: Milliseconds = ms(500)
/** Between two looks before an interrupt. */
const LOOK_AGAIN = ms(100)
/** For the paused main thread to evaluate the few lines of `REQUEST_EXPRESSION`. */
const EVALUATION_TIMEOUT = ms(200)
const MAX_FRAMES = 50
/**
 * How long a pause in Node's own code is stepped on to the code that Node is about to call, in ms.
 */
const STEPPING_TIME = 200
/**
 * A step that takes longer is in code without a place to stop at, such as `for (;;);`: it needs a
 * new request for a pause.
 */
const STEP_TIMEOUT = ms(50)
/** How often an interrupt looks again when it finds Node's own code only. */
const MAX_BLIND_LANDINGS = 5
/** How many frames are asked for their request when AsyncLocalStorage does not know it. */
const MAX_FRAMES_ASKED = 25

/**
 * Evaluated in a paused frame. The arrow function keeps the `this` of the frame, so that an event
 * handler is known by its emitter.
 */
const REQUEST_EXPRESSION = `((r) => r === undefined ? 0 : r.sequenceOf(this))(${new ProcessGlobal('runtime').expression})`

/**
 * The main thread as the watchdog thread sees it through the inspector: it shows what is running
 * and for which request, and can end it. A pause takes effect within milliseconds in running
 * JavaScript and in `Atomics.wait`; in a system call or a long native function it stays pending
 * until that returns.
 */
export class MainThread {
  readonly #onSessions: (by: 1 | -1) => void
  /** False where connecting would abort the process (`node --permission`). */
  readonly mayInspect: boolean
  #session: Session | null = null
  /** A pause is requested and has not taken effect. */
  #pending = false
  /** V8 ignores a request for a pause until the main thread has resumed from the previous one. */
  #resuming = false
  #isPaused = false
  #isResumedByOthers = false
  #requestedAt = 0
  #lateLandings = 0
  #blindLandings = 0
  #landedAt = 0
  #landings = 0
  /** The request that was executed at the previous look of this stall; null before the first. */
  #previousSequence: number | null = null
  /** What the next pause is for. */
  #mode: 'look' | 'interrupt' | 'freeze' = 'look'
  #request: InterruptRequest | null = null
  #waiting: ((capture: Capture | null) => void)[] = []
  #last: Capture | null = null
  /** The URL of each script by its id; a call frame does not always have it. */
  readonly #scripts = new Map<string, string>()

  /** @param onSessions called when a session was connected (1), or disconnected (-1) */
  constructor(onSessions: (by: 1 | -1) => void = () => {}, mayInspect = true) {
    this.#onSessions = onSessions
    this.mayInspect = mayInspect
  }

  /** The newest capture of this stall, even if it came long after it was requested. */
  get last(): Capture | null {
    return this.#last
  }

  get isPending(): boolean {
    return this.#pending
  }

  /**
   * Whether another inspector session in this process (an agent) has resumed the main thread from a
   * pause of this stall.
   */
  get isResumedByOthers(): boolean {
    return this.#isResumedByOthers
  }

  /**
   * Captures what the main thread is doing. Resolves with null when the pause does not take effect
   * within `timeout` milliseconds; it stays pending.
   */
  look(timeout: number): Promise<Capture | null> {
    if (!this.mayInspect) return Promise.resolve(null)
    const landed = this.#landing(timeout)
    this.#pause()
    return landed
  }

  /**
   * Ends the running JavaScript at the next pause, provided that this JavaScript causes the stall.
   * Where that is not certain it looks again a little later: when the pause comes late because a
   * system call returned (the code behind it may now let the loop turn), when another request is
   * executed than at the previous look, and when only Node's own code is on the stack.
   */
  interrupt(request: InterruptRequest): void {
    if (!this.mayInspect) return
    this.#mode = 'interrupt'
    this.#request = request
    this.#pause()
  }

  /** Pauses the main thread for good, so that it writes nothing during the emergency responses. */
  freeze(timeout: number): Promise<Capture | null> {
    this.#mode = 'freeze'
    return this.look(timeout)
  }

  /** The stall is over: resumes the main thread and resets all state. */
  release(): void {
    const session = this.#session
    this.#session = null
    this.#pending = false
    this.#resuming = false
    this.#isPaused = false
    this.#isResumedByOthers = false
    this.#mode = 'look'
    this.#request = null
    this.#last = null
    this.#lateLandings = 0
    this.#blindLandings = 0
    this.#landedAt = 0
    this.#previousSequence = null
    this.#scripts.clear()
    for (const resolve of this.#waiting.splice(0)) resolve(null)
    if (session === null) return
    session.post('Debugger.disable', () => {
      session.disconnect()
      this.#onSessions(-1)
    })
  }

  #landing(timeout: number): Promise<Capture | null> {
    let landed: ((capture: Capture | null) => void) | undefined
    return promiseAtMost<Capture | null, null>(
      ms(timeout),
      (resolve) => {
        landed = resolve
        this.#waiting.push(resolve)
      },
      () => {
        this.#waiting = this.#waiting.filter((resolve) => resolve !== landed)
        return null
      },
    )
  }

  #pause(): void {
    if (this.#session === null) {
      const session = new Session()
      session.connectToMainThread()
      this.#onSessions(1)
      session.on('Debugger.scriptParsed', ({ params }) => this.#scripts.set(params.scriptId, params.url))
      session.on('Debugger.paused', ({ params }) => void this.#paused(session, params))
      session.on('Debugger.resumed', () => this.#resumed(session))
      this.#session = session
    }
    if (this.#pending) return
    this.#pending = true
    this.#requestedAt = monotonicNow()
    if (!this.#resuming) requestPause(this.#session)
  }

  /** The debugger is off between two looks, so that the app runs at full speed. */
  #resumed(session: Session): void {
    if (this.#session !== session) return
    this.#isPaused = false
    if (this.#resuming) this.#endPause(session)
  }

  #endPause(session: Session): void {
    this.#resuming = false
    session.post('Debugger.disable')
    if (this.#pending) requestPause(session)
  }

  async #paused(session: Session, { callFrames }: Debugger.PausedEventDataType): Promise<void> {
    const now = monotonicNow()
    this.#isPaused = true
    this.#landings++
    if (this.#landedAt === 0) this.#landedAt = now
    const afterMs = this.#landedAt - this.#requestedAt
    const stack = callFrames.slice(0, MAX_FRAMES).map((frame) => this.#frame(frame))
    if (this.#session === session && this.#shouldStepOn(stack, afterMs, now)) {
      this.#step(session)
      return
    }
    this.#landedAt = 0
    this.#pending = false
    const capture = { stack, sequence: await this.#identify(session, callFrames), afterMs }
    // Released in the meantime: the loop turned before the pause took effect.
    if (this.#session !== session) return
    this.#last = capture
    for (const resolve of this.#waiting.splice(0)) resolve(capture)
    if (this.#mode === 'freeze') return
    if (this.#mode === 'interrupt' && this.#request !== null) {
      this.#interruptOrLookAgain(session, this.#request, capture, callFrames)
    }
    this.#previousSequence = capture.sequence
    this.#resuming = true
    // There is no event to wait for if the main thread runs already.
    if (this.#isPaused) session.post('Debugger.resume')
    else this.#endPause(session)
  }

  /**
   * The sequence number of the request that the paused code serves. Another session may resume the
   * main thread before it has answered; then the running code is asked.
   */
  async #identify(session: Session, frames: readonly Debugger.CallFrame[]): Promise<number> {
    const sequence = await identify(session, frames, () => this.#isPaused)
    if (this.#session !== session || this.#isPaused) return sequence
    this.#isResumedByOthers = true
    return sequence === 0 ? await identifyRunning(session) : sequence
  }

  #frame(frame: Debugger.CallFrame): StackFrame {
    const { functionName, location } = frame
    return {
      function: functionName === '' ? '(anonymous)' : functionName,
      file: pathOf(this.#urlOf(frame)),
      line: location.lineNumber + 1,
      column: (location.columnNumber ?? 0) + 1,
    }
  }

  #urlOf({ url, location }: Debugger.CallFrame): string {
    return url === '' ? (this.#scripts.get(location.scriptId) ?? '') : url
  }

  #step(session: Session): void {
    const landings = this.#landings
    session.post('Debugger.stepInto')
    after(STEP_TIMEOUT, () => {
      if (this.#session === session && this.#landings === landings) session.post('Debugger.pause')
    })
  }

  /**
   * Whether the pause is between two ticks or two microtasks of an endless series, where only
   * Node's own queue is on the stack: that explains nothing and may belong to no request. Only an
   * interrupt steps on. A look must not hold up the main thread, nor must a late pause, after which
   * the loop may turn by itself.
   */
  #shouldStepOn(stack: readonly StackFrame[], afterMs: number, now: number): boolean {
    if (this.#mode !== 'interrupt' || afterMs > PROMPT || now - this.#landedAt > STEPPING_TIME) return false
    return isNodesOwn(stack)
  }

  #interruptOrLookAgain(
    session: Session,
    request: InterruptRequest,
    capture: Capture,
    frames: readonly Debugger.CallFrame[],
  ): void {
    if (request.hasEnded()) return
    const late = capture.afterMs > PROMPT
    const isCause = late ? this.#lateLandings > 0 || request.isSpinning() : capture.sequence === this.#previousSequence
    const isBlind = isNodesOwn(capture.stack) && this.#blindLandings++ < MAX_BLIND_LANDINGS
    if (isCause && !isBlind) {
      request.onInterrupt(capture)
      this.#mode = 'look'
      this.#request = null
      const completion = completeImmediate(frames, (frame) => this.#urlOf(frame))
      if (completion !== null) session.post('Debugger.evaluateOnCallFrame', completion)
      session.post('Runtime.terminateExecution')
      return
    }
    if (late) this.#lateLandings++
    after(LOOK_AGAIN, () => {
      if (this.#session === session && this.#mode === 'interrupt') this.#pause()
    })
  }
}

function requestPause(session: Session): void {
  session.post('Debugger.enable')
  session.post('Debugger.pause')
}

function isNodesOwn(stack: readonly StackFrame[]): boolean {
  return stack.every(({ file }) => file.startsWith('node:'))
}

/** A script may have any URL (`//# sourceURL=file://app/x.js`), and not every URL is a path. */
function pathOf(url: string): string {
  if (!url.startsWith('file:')) return url
  try {
    return fileURLToPath(url)
  } catch {
    return url
  }
}

/**
 * The request that the paused code serves: in most cases AsyncLocalStorage knows it, else the
 * `this` of one of the frames belongs to one.
 */
async function identify(
  session: Session,
  frames: readonly Debugger.CallFrame[],
  isPaused: () => boolean,
): Promise<number> {
  for (const { callFrameId } of frames.slice(0, MAX_FRAMES_ASKED)) {
    if (!isPaused()) return 0
    const sequence = await evaluate(session, callFrameId)
    if (sequence > 0) return sequence
  }
  return 0
}

/** The same without a pause, by AsyncLocalStorage alone. */
async function identifyRunning(session: Session): Promise<number> {
  const options = { expression: REQUEST_EXPRESSION, silent: true, returnByValue: true }
  const value = await promiseAtMost<unknown>(EVALUATION_TIMEOUT, (resolve) => {
    session.post('Runtime.evaluate', options, (_, answer?: { result: Runtime.RemoteObject }) =>
      resolve(answer?.result.value),
    )
  }).catch(() => 0)
  return typeof value === 'number' ? value : 0
}

/** 0 when there is no answer: the session was disconnected, or the evaluation takes too long. */
async function evaluate(session: Session, callFrameId: string): Promise<number> {
  const options = { callFrameId, expression: REQUEST_EXPRESSION, silent: true, returnByValue: true }
  const value = await promiseAtMost<unknown>(EVALUATION_TIMEOUT, (resolve) => {
    session.post('Debugger.evaluateOnCallFrame', options, (_, answer?: { result: Runtime.RemoteObject }) =>
      resolve(answer?.result.value),
    )
  }).catch(() => 0)
  return typeof value === 'number' ? value : 0
}
