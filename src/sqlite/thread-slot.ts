import { delayAfter } from '../resilience/back-off.ts'
import { after, type Cancel } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { Committed } from './sqlite-errors.ts'
import { SqliteThread } from './sqlite-thread.ts'
import type { SqliteRow } from './sqlite-values.ts'
import type { FromThread, JobEnd, ThreadData, ThreadJob } from './thread-protocol.ts'

/** The thread of a job crashed, or was abandoned because the job could not be cancelled. */
export interface LostOutcome {
  readonly kind: 'lost'
  readonly reason: 'thread-died' | 'thread-abandoned'
  readonly why: string
}

/** How a job ended. */
export type JobOutcome = JobEnd | LostOutcome

/** Why a thread was abandoned. */
export type AbandonReason = 'not-cancelled' | 'too-slow' | 'in-transaction'

/** The predicate of a sentence about the thread. */
export const ABANDON_TEXT: Readonly<Record<AbandonReason, string>> = {
  'not-cancelled': 'did not cancel its query',
  'too-slow': 'took too long',
  'in-transaction': 'was left inside a transaction',
}

/** A job, and what happens when it has ended. */
export interface SlotTask {
  readonly job: ThreadJob
  /** Called once. The slot may take the next task, unless it has lost its thread. */
  settled(outcome: JobOutcome, inTransaction: boolean): void
  /** Called once, with `settled` or later, when no thread works on it, even an abandoned one. */
  ended?(): void
  /** Whether to retry while the file is locked. Default: always, until it is cancelled. */
  wanted?(): boolean
}

export interface SlotOptions {
  readonly thread: Omit<ThreadData, 'control'>
  readonly threadName: string
  readonly cancelTimeout: Milliseconds
  readonly openTimeout: Milliseconds
  /** False while too many abandoned threads still run. */
  mayStartThread(): boolean
  /** Whether any call waits for the slot. */
  wanted(): boolean
}

/** What a slot reports to its pool. */
export interface SlotEvents {
  opened(slot: ThreadSlot, journalMode: string): void
  openFailed(outcome: JobOutcome): void
  /** The thread was abandoned. It runs until `exited`. */
  abandoned(reason: AbandonReason, exited: Promise<void>): void
  crashed(slot: ThreadSlot, why: string): void
  retried(): void
}

type Phase =
  /** It has no task. */
  | 'idle'
  /** The thread works on the task. */
  | 'running'
  /** The file is locked; a timer sends the job again. */
  | 'retrying'
  /** The caller has given up; the thread has until `cancelTimeout` to end the job. */
  | 'cancelling'

/** Milliseconds. A lock within this process is released in less than the first delay. */
const BACK_OFF = { jitter: 'decorrelated', initialDelay: 1, maxDelay: 50, random: Math.random } as const

/**
 * One connection of a pool: a thread that has the file open, or its replacement after it was lost.
 *
 * It works on one task at a time, retries a job while the file is locked, and abandons its thread
 * when a cancelled job does not end.
 */
export class ThreadSlot {
  readonly #options: SlotOptions
  readonly #events: SlotEvents
  #phase: Phase = 'idle'
  #thread: SqliteThread | null = null
  #isOpen = false
  #task: SlotTask | null = null
  /** For each attempt of the task; null for none. */
  #attemptTimeout: Milliseconds | null = null
  #rows: SqliteRow[] = []
  #attempt = 0
  #delay = 0
  #cancelRetry: Cancel | null = null
  #cancelAbandoning: Cancel | null = null

  constructor(options: SlotOptions, events: SlotEvents) {
    this.#options = options
    this.#events = events
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether its task waits for a lock that another connection holds on the file. */
  get isLocked(): boolean {
    return this.#attempt > 0
  }

  /** Starts a thread and opens the file, unless it has a thread or may not start one. */
  open(): void {
    if (this.#thread !== null || !this.#options.mayStartThread()) return
    const { thread, threadName, openTimeout } = this.#options
    this.#thread = new SqliteThread(thread, threadName, {
      onMessage: (message) => this.#onMessage(message),
      onLost: (why) => {
        this.#removeThread()
        this.#events.crashed(this, why)
        this.#settle({ kind: 'lost', reason: 'thread-died', why: `its thread died: ${why}` }, false)
      },
    })
    this.run(
      {
        job: { kind: 'open' },
        wanted: () => this.#options.wanted(),
        settled: (outcome) => {
          if (outcome.kind === 'opened') {
            this.#isOpen = true
            this.#events.opened(this, outcome.journalMode)
            return
          }
          this.#thread?.close()
          this.#removeThread()
          this.#events.openFailed(outcome)
        },
      },
      openTimeout,
    )
  }

  /** @param attemptTimeout abandon the thread when an attempt takes longer; default: never */
  run(task: SlotTask, attemptTimeout: Milliseconds | null = null): void {
    this.#task = task
    this.#attemptTimeout = attemptTimeout
    this.#rows = []
    this.#attempt = 0
    this.#delay = 0
    this.#send()
  }

  /** Cancels the task, which then settles when it has ended, or after `cancelTimeout`. */
  cancel(): Committed {
    switch (this.#phase) {
      case 'retrying':
        this.#settle({ kind: 'cancelled' }, false)
        return 'no'
      case 'running': {
        this.#setPhase('cancelling')
        this.#rows = []
        const cancelled = this.#thread?.cancel() !== false
        this.#cancelAbandoning ??= this.#abandonAfter(this.#options.cancelTimeout, 'not-cancelled')
        return cancelled ? 'no' : 'unknown'
      }
      default:
        return 'no'
    }
  }

  /** Stops using its thread, whose connection may be in any state. The next task gets another. */
  abandon(reason: AbandonReason): void {
    const thread = this.#thread
    if (thread === null) return
    this.#removeThread()
    thread.abandon()
    this.#events.abandoned(reason, thread.exited)
    const task = this.#task
    this.#task = null
    const why = `its thread ${ABANDON_TEXT[reason]} and was abandoned`
    task?.settled({ kind: 'lost', reason: 'thread-abandoned', why }, false)
    void thread.exited.then(() => task?.ended?.())
  }

  /** Closes the file and ends the thread; null if there is none. */
  close(): Promise<void> | null {
    const thread = this.#thread
    this.#removeThread()
    thread?.close()
    return thread?.exited ?? null
  }

  #send(): void {
    this.#setPhase('running')
    if (this.#attemptTimeout !== null) {
      this.#cancelAbandoning = this.#abandonAfter(this.#attemptTimeout, 'too-slow')
    }
    this.#thread?.send((this.#task as SlotTask).job)
  }

  #abandonAfter(timeout: Milliseconds, reason: AbandonReason): Cancel {
    return after(timeout, () => this.abandon(reason), { keepAlive: false })
  }

  #onMessage({ reply, inTransaction }: FromThread): void {
    const isCancelling = this.#phase === 'cancelling'
    if (reply.kind === 'some-rows') {
      if (!isCancelling) this.#rows.push(...reply.rows)
      this.#thread?.send({ kind: 'more' })
      return
    }
    if (this.#attemptTimeout !== null || isCancelling) {
      this.#cancelAbandoning?.()
      this.#cancelAbandoning = null
    }
    if (reply.kind !== 'busy') {
      const isLast = reply.kind === 'rows' && this.#rows.length > 0
      if (isLast) this.#rows.push(...reply.rows)
      this.#settle(isLast ? { kind: 'rows', rows: this.#rows } : reply, inTransaction)
    } else if (isCancelling || this.#task?.wanted?.() === false) {
      this.#settle({ kind: 'cancelled' }, inTransaction)
    } else {
      this.#retryLater()
    }
  }

  #retryLater(): void {
    this.#events.retried()
    this.#attempt++
    this.#delay = delayAfter(BACK_OFF, this.#attempt, this.#delay)
    this.#setPhase('retrying')
    this.#cancelRetry = after(ms(this.#delay), () => this.#send())
  }

  #settle(outcome: JobOutcome, inTransaction: boolean): void {
    const task = this.#task
    this.#task = null
    this.#rows = []
    this.#attempt = 0
    this.#setPhase('idle')
    this.#thread?.rest()
    task?.settled(outcome, inTransaction)
    task?.ended?.()
  }

  #removeThread(): void {
    this.#thread = null
    this.#isOpen = false
    this.#attempt = 0
    this.#setPhase('idle')
    this.#cancelAbandoning?.()
    this.#cancelAbandoning = null
  }

  /** The only place that sets the phase: a retry is pending in `retrying` alone. */
  #setPhase(phase: Phase): void {
    if (this.#phase === 'retrying') this.#cancelRetry?.()
    this.#phase = phase
  }
}
