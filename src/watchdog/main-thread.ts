import { type Debugger, type Runtime, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { StackFrame } from '../diagnostics/incident.ts'
import { after, monotonicNow } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { ProcessGlobal } from '../system/process-global.ts'

/** Scripts may be given any URL (`//# sourceURL=file://app/x.js`), and not every one is a path. */
function pathOf(url: string): string {
  if (!url.startsWith('file:')) return url
  try {
    return fileURLToPath(url)
  } catch {
    return url
  }
}

/** What a pause of the main thread showed. */
export interface Capture {
  readonly stack: readonly StackFrame[]
  /** Sequence number of the request being executed; 0 when none is. */
  readonly sequence: number
  /** Milliseconds from the asking to the landing. */
  readonly afterMs: number
}

/** Within this a pause has landed "at once": JavaScript was running. Later, something else had to return first. */
const PROMPT = ms(500)
/** Between two looks before a cut. */
const LOOK_AGAIN = ms(100)
/** Answers of the paused main thread; it is our own few lines that it evaluates. */
const EVALUATION = ms(200)
const MOST_FRAMES = 50
/** How long a pause that landed in Node's own code is led on, step by step, to the code that Node is about to call, in milliseconds. */
const STEPPING = 200
/** A step that has not ended by then leads into code with nothing to stop at, such as `for (;;);`, and a pause must be asked for anew. */
const STEP = ms(50)
/** How often a cut looks again that has found nobody's code. */
const MOST_BLIND = 5
/** How many frames are asked whose request they serve, when AsyncLocalStorage does not know. */
const MOST_ASKED = 25

/** What a cut depends on, asked while the main thread is paused. */
export interface InterruptRequest {
  /** Whether the loop has turned since the cut fell due. */
  readonly hasEnded: () => boolean
  /** Whether the main thread has been burning CPU. */
  readonly isSpinning: () => boolean
  /** Called right before the end. */
  readonly onInterrupt: (capture: Capture) => void
}

/** Asked in a paused frame; the arrow keeps the frame's own `this`, so that an event handler is known by its emitter. */
const WHO = `((r) => r === undefined ? 0 : r.sequenceOf(this))(${new ProcessGlobal('runtime').expression})`

/**
 * The main thread, looked at from the watchdog thread through the inspector: where it is, whom it serves, and, if need be, the
 * end of what it is doing. A pause lands in running JavaScript within milliseconds, and in `Atomics.wait`; in a system call or a
 * long native function it stays pending until that returns.
 */
export class MainThread {
  #session: Session | null = null
  #pending = false
  /** It has been told to go on and has not yet: V8 ignores the wish for a pause until it has left the one before. */
  #resuming = false
  #askedAt = 0
  #lateLandings = 0
  #blindLandings = 0
  #landedAt = 0
  #landings = 0
  /** Whom the main thread served when it was looked at before; null before the first look of a stall. */
  #servedBefore: number | null = null
  /** What to do when the pause lands. */
  #mode: 'look' | 'interrupt' | 'freeze' = 'look'
  #order: InterruptRequest | null = null
  #waiters: ((capture: Capture | null) => void)[] = []
  #last: Capture | null = null
  /** Where each script came from, by its id; a call frame itself does not always say. */
  readonly #scripts = new Map<string, string>()

  /** The newest capture of this stall, also one that landed long after it was asked for. */
  get last(): Capture | null {
    return this.#last
  }

  /** Whether a pause has been asked for and has not landed. */
  get isPending(): boolean {
    return this.#pending
  }

  /** Asks where the main thread is. Resolves null when the pause has not landed within `limit`; it stays pending then. */
  look(limit: number): Promise<Capture | null> {
    const landed = this.#landing(limit)
    this.#ask()
    return landed
  }

  /**
   * Ends the running JavaScript when the pause lands, provided that it is the JavaScript to blame. It looks once more, a little
   * later, where it cannot know: when the pause lands late because a system call returned (that code may now turn the loop by
   * itself), when another request is being served than at the look before (which has only just begun), and when it finds none
   * but Node's own code.
   */
  interrupt(order: InterruptRequest): void {
    this.#mode = 'interrupt'
    this.#order = order
    this.#ask()
  }

  /** Pauses the main thread for good: it must not write to a socket while last answers are given. */
  freeze(limit: number): Promise<Capture | null> {
    this.#mode = 'freeze'
    return this.look(limit)
  }

  /** The stall is over: lets go of the main thread, and forgets. */
  release(): void {
    const session = this.#session
    this.#session = null
    this.#pending = false
    this.#resuming = false
    this.#mode = 'look'
    this.#order = null
    this.#last = null
    this.#lateLandings = 0
    this.#blindLandings = 0
    this.#landedAt = 0
    this.#servedBefore = null
    this.#scripts.clear()
    for (const waiter of this.#waiters) waiter(null)
    if (session === null) return
    session.post('Debugger.disable', () => session.disconnect())
  }

  #frame({ functionName, url, location }: Debugger.CallFrame): StackFrame {
    const file = url === '' ? (this.#scripts.get(location.scriptId) ?? '') : url
    return {
      function: functionName === '' ? '(anonymous)' : functionName,
      file: pathOf(file),
      line: location.lineNumber + 1,
      column: (location.columnNumber ?? 0) + 1,
    }
  }

  #landing(limit: number): Promise<Capture | null> {
    return new Promise((resolve) => {
      const cancel = after(ms(limit), () => settle(null))
      const settle = (capture: Capture | null): void => {
        cancel()
        this.#waiters = this.#waiters.filter((waiter) => waiter !== settle)
        resolve(capture)
      }
      this.#waiters.push(settle)
    })
  }

  #ask(): void {
    if (this.#session === null) {
      const session = new Session()
      session.connectToMainThread()
      session.on('Debugger.scriptParsed', ({ params }) => this.#scripts.set(params.scriptId, params.url))
      session.on('Debugger.paused', ({ params }) => void this.#paused(session, params))
      session.on('Debugger.resumed', () => this.#resumed(session))
      this.#session = session
    }
    if (this.#pending) return
    this.#pending = true
    this.#askedAt = monotonicNow()
    if (!this.#resuming) requestPause(this.#session)
  }

  /** Between two looks the debugger is off: the app runs at full speed again. */
  #resumed(session: Session): void {
    if (this.#session !== session || !this.#resuming) return
    this.#resuming = false
    session.post('Debugger.disable')
    if (this.#pending) requestPause(session)
  }

  async #paused(session: Session, { callFrames }: Debugger.PausedEventDataType): Promise<void> {
    const now = monotonicNow()
    this.#landings++
    if (this.#landedAt === 0) this.#landedAt = now
    const afterMs = this.#landedAt - this.#askedAt
    const stack = callFrames.slice(0, MOST_FRAMES).map((frame) => this.#frame(frame))
    if (this.#session === session && this.#isBetweenCalls(stack, afterMs, now)) {
      this.#step(session)
      return
    }
    this.#landedAt = 0
    this.#pending = false
    const capture = { stack, sequence: await identify(session, callFrames), afterMs }
    // Let go meanwhile: the loop had turned before the pause landed.
    if (this.#session !== session) return
    this.#last = capture
    for (const waiter of this.#waiters) waiter(capture)
    if (this.#mode === 'freeze') return
    if (this.#mode === 'interrupt' && this.#order !== null) this.#cutOrLookAgain(session, this.#order, capture)
    this.#servedBefore = capture.sequence
    this.#resuming = true
    session.post('Debugger.resume')
  }

  #step(session: Session): void {
    const landings = this.#landings
    session.post('Debugger.stepInto')
    after(STEP, () => {
      if (this.#session === session && this.#landings === landings) session.post('Debugger.pause')
    })
  }

  /**
   * Whether the pause landed in nobody's code: between two ticks or two microtasks of an endless row there is only Node's own
   * queue on the stack, which explains nothing and may serve no request. Only a cut leads on from there: a mere look must not hold up
   * the main thread, nor must one that landed late and may have found a loop that turns again.
   */
  #isBetweenCalls(stack: readonly StackFrame[], afterMs: number, now: number): boolean {
    if (this.#mode !== 'interrupt' || afterMs > PROMPT || now - this.#landedAt > STEPPING) return false
    return isNodesOwn(stack)
  }

  #cutOrLookAgain(session: Session, order: InterruptRequest, capture: Capture): void {
    if (order.hasEnded()) return
    const late = capture.afterMs > PROMPT
    const isToBlame = late ? this.#lateLandings > 0 || order.isSpinning() : capture.sequence === this.#servedBefore
    const blind = isNodesOwn(capture.stack) && this.#blindLandings++ < MOST_BLIND
    if (isToBlame && !blind) {
      order.onInterrupt(capture)
      this.#mode = 'look'
      this.#order = null
      session.post('Runtime.terminateExecution')
      return
    }
    if (late) this.#lateLandings++
    after(LOOK_AGAIN, () => {
      if (this.#session === session && this.#mode === 'interrupt') this.#ask()
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

/** The request that the paused code serves: AsyncLocalStorage knows in most cases, else whichever frame's `this` belongs to one. */
async function identify(session: Session, frames: readonly Debugger.CallFrame[]): Promise<number> {
  for (const { callFrameId } of frames.slice(0, MOST_ASKED)) {
    const value = await evaluate(session, callFrameId)
    if (value > 0) return value
  }
  return 0
}

/** 0 when there is no answer: the session was detached, or an expression hangs. */
async function evaluate(session: Session, callFrameId: string): Promise<number> {
  const options = { callFrameId, expression: WHO, silent: true, returnByValue: true }
  const value = await promiseAtMost<unknown>(EVALUATION, (resolve) => {
    session.post('Debugger.evaluateOnCallFrame', options, (_, answer?: { result: Runtime.RemoteObject }) =>
      resolve(answer?.result.value),
    )
  }).catch(() => 0)
  return typeof value === 'number' ? value : 0
}
