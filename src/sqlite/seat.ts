import { delayAfter } from '../resilience/back-off.ts'
import { after, type Cancel } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { CarriedOut } from './sqlite-errors.ts'
import { SqliteThread } from './sqlite-thread.ts'
import type { SqliteRow } from './sqlite-values.ts'
import type { FromThread, JobEnd, ThreadData, ThreadJob } from './thread-protocol.ts'

/** The thread of a job died, or was given up because it could not be ended. */
export interface LostOutcome {
  readonly kind: 'lost'
  readonly reason: 'thread-died' | 'thread-abandoned'
  readonly why: string
}

/** How a job ended. */
export type Outcome = JobEnd | LostOutcome

/** Why a thread was given up. */
export type AbandonReason = 'not-ended' | 'too-slow' | 'in-transaction'

/** As the rest of a sentence about the thread. */
export const ABANDON_TEXT: Readonly<Record<AbandonReason, string>> = {
  'not-ended': 'did not end',
  'too-slow': 'took too long',
  'in-transaction': 'was left inside a transaction',
}

/** What a seat works on. */
export interface SeatTask {
  readonly job: ThreadJob
  /** Called once. The seat may take the next task, unless it has lost its thread. */
  settled(outcome: Outcome, inTransaction: boolean): void
  /** Nothing of it goes on any more, be it in a thread that was given up. Called once, with `settled` or after. */
  ended?(): void
  /** Whether a locked file is worth asking again. Default: yes, until it is stopped. */
  wanted?(): boolean
}

/** Who owns a seat. */
export interface SeatOwner {
  readonly thread: Omit<ThreadData, 'control'>
  readonly threadName: string
  readonly cancelTimeout: Milliseconds
  readonly openTimeout: Milliseconds
  /** Whether a thread may be started, or too many have been given up already. */
  mayStart(): boolean
  opened(seat: Seat, journalMode: string): void
  notOpened(seat: Seat, outcome: Outcome): void
  /** Whether anybody waits for a seat. */
  wanted(): boolean
  /** A thread was given up. It is there until `exited`. */
  abandoned(reason: AbandonReason, exited: Promise<void>): void
  crashed(seat: Seat, why: string): void
  retried(): void
}

/** Milliseconds. A lock inside one process is gone in less than the first; nobody waits long for one that has gone. */
const BACK_OFF = { jitter: 'decorrelated', base: 1, most: 50, random: Math.random } as const

/**
 * One place at the database: a thread with its connection, or the next one when that is lost. It works on one task at a time, asks again while the file
 * is locked, and gives its thread up when a task that was stopped does not end.
 */
export class Seat {
  readonly #owner: SeatOwner
  #thread: SqliteThread | null = null
  #open = false
  #task: SeatTask | null = null
  /** What the task may take for each time it is asked. */
  #limit: Milliseconds | null = null
  #rows: SqliteRow[] = []
  #attempt = 0
  #delay = 0
  #backOff: Cancel | null = null
  #overdue: Cancel | null = null
  #stopped = false

  constructor(owner: SeatOwner) {
    this.#owner = owner
  }

  get isOpen(): boolean {
    return this.#open
  }

  /** Waits for a lock on the file that another connection holds. */
  get isLocked(): boolean {
    return this.#attempt > 0
  }

  /** Starts a thread and opens the file, unless that is so, under way, or not allowed now. */
  open(): void {
    if (this.#thread !== null || !this.#owner.mayStart()) return
    const { thread, threadName, openTimeout } = this.#owner
    this.#thread = new SqliteThread(thread, threadName, {
      onMessage: (message) => this.#hear(message),
      onLost: (why) => {
        this.#leave()
        this.#owner.crashed(this, why)
        this.#settle({ kind: 'lost', reason: 'thread-died', why: `its thread died: ${why}` }, false)
      },
    })
    this.run(
      {
        job: { kind: 'open' },
        wanted: () => this.#owner.wanted(),
        settled: (outcome) => {
          if (outcome.kind === 'opened') {
            this.#open = true
            this.#owner.opened(this, outcome.journalMode)
            return
          }
          this.#thread?.close()
          this.#leave()
          this.#owner.notOpened(this, outcome)
        },
      },
      openTimeout,
    )
  }

  /** @param limit a task that takes longer, each time it is asked, costs the thread; default: it takes until it is stopped */
  run(task: SeatTask, limit: Milliseconds | null = null): void {
    this.#task = task
    this.#limit = limit
    this.#rows = []
    this.#attempt = 0
    this.#delay = 0
    this.#stopped = false
    this.#send()
  }

  /** Nobody waits for the task any more. It is settled as soon as it has ended, or when `cancelTimeout` has passed. */
  stop(): CarriedOut {
    if (this.#task === null || this.#stopped) return 'no'
    this.#stopped = true
    this.#rows = []
    if (this.#backOff !== null) {
      this.#backOff()
      this.#backOff = null
      this.#settle({ kind: 'cancelled' }, false)
      return 'no'
    }
    const cancelled = this.#thread?.cancel() !== false
    this.#overdue ??= this.#giveUpAfter(this.#owner.cancelTimeout, 'not-ended')
    return cancelled ? 'no' : 'unknown'
  }

  /** Whatever state its connection is in: the next task gets another. */
  abandon(reason: AbandonReason): void {
    const thread = this.#thread
    if (thread === null) return
    this.#leave()
    thread.abandon()
    this.#owner.abandoned(reason, thread.exited)
    const task = this.#task
    this.#task = null
    const why = `its thread ${ABANDON_TEXT[reason]} and was given up`
    task?.settled({ kind: 'lost', reason: 'thread-abandoned', why }, false)
    void thread.exited.then(() => task?.ended?.())
  }

  /** Its thread closes the file and ends; null if there is none. */
  close(): Promise<void> | null {
    const thread = this.#thread
    this.#leave()
    thread?.close()
    return thread?.exited ?? null
  }

  #send(): void {
    if (this.#limit !== null) this.#overdue = this.#giveUpAfter(this.#limit, 'too-slow')
    this.#thread?.send((this.#task as SeatTask).job)
  }

  #giveUpAfter(limit: Milliseconds, reason: AbandonReason): Cancel {
    return after(limit, () => this.abandon(reason), { keepAlive: false })
  }

  #hear({ reply, inTransaction }: FromThread): void {
    if (reply.kind === 'some-rows') {
      if (!this.#stopped) this.#rows.push(...reply.rows)
      this.#thread?.send({ kind: 'more' })
      return
    }
    if (this.#limit !== null || this.#stopped) {
      this.#overdue?.()
      this.#overdue = null
    }
    if (reply.kind !== 'busy') {
      const whole = reply.kind === 'rows' && this.#rows.length > 0
      if (whole) this.#rows.push(...reply.rows)
      this.#settle(whole ? { kind: 'rows', rows: this.#rows } : reply, inTransaction)
    } else if (this.#stopped || this.#task?.wanted?.() === false) {
      this.#settle({ kind: 'cancelled' }, inTransaction)
    } else {
      this.#askAgain()
    }
  }

  #askAgain(): void {
    this.#owner.retried()
    this.#attempt++
    this.#delay = delayAfter(BACK_OFF, this.#attempt, this.#delay)
    this.#backOff = after(ms(this.#delay), () => {
      this.#backOff = null
      this.#send()
    })
  }

  #settle(outcome: Outcome, inTransaction: boolean): void {
    const task = this.#task
    this.#task = null
    this.#rows = []
    this.#attempt = 0
    this.#thread?.rest()
    task?.settled(outcome, inTransaction)
    task?.ended?.()
  }

  #leave(): void {
    this.#thread = null
    this.#open = false
    this.#attempt = 0
    this.#backOff?.()
    this.#backOff = null
    this.#overdue?.()
    this.#overdue = null
  }
}
