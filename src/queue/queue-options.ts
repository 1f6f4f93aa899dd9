import { logEvent, safeListener } from '../diagnostics/event-log.ts'
import { checkOptions, type OptionNames } from '../errors/check-options.ts'
import { InvalidOptionError } from '../errors/punctual-error.ts'
import type { BackOff, Jitter } from '../resilience/back-off.ts'
import { type Duration, type Milliseconds, readCount, readDuration } from '../resilience/duration.ts'
import type { DeadLetterQueue } from './dead-letters.ts'
import type { QueueContext, QueueHandler } from './handler.ts'
import type { HandlerSlots, LoopGate } from './handler-capacity.ts'
import type { QueueEvent, QueueEvents } from './queue-events.ts'
import type { QueueJobsReport } from './queue-report.ts'

/** A size: `'64MiB'`, or a number of bytes. */
export type Size = `${number}${'KiB' | 'MiB' | 'GiB'}` | number

/**
 * What happens to an item when the queue is full. `drop-newest`: it is dropped. `drop-oldest`: the
 * item that has waited longest is dropped for it. `reject`: it is not accepted, and `push` returns
 * `'rejected'`. All are counted, and logged at most once a second.
 */
export type OnFull = 'drop-newest' | 'drop-oldest' | 'reject'

/**
 * What an accepted item survives. `process`: the death of the process, SIGKILL included, but not a
 * loss of power. `disk`: that too, from about 10 ms after it was accepted (`synced()` waits for
 * it). `memory`: nothing.
 */
export type Durability = 'process' | 'disk' | 'memory'

export interface DurableQueueOptions {
  /** Maximum items in a call of the handler; also about 1 MiB of JSON. Default 500. */
  readonly batch?: number
  /** How long the first item of a batch waits for others. Default `20ms`. */
  readonly linger?: Duration
  /** Timeout of a call of the handler, after which it is aborted and fails. Default `30s`. */
  readonly timeout?: Duration
  /** Calls at a time; above 1, order is not kept. See also `queueConcurrency`. Default 1. */
  readonly concurrency?: number
  /** How often an item may fail before it becomes a dead letter. Default 10. */
  readonly attempts?: number
  /** The delay before a retry: doubles from `from` (100 ms) to `to` (30 s), with random jitter. */
  readonly backOff?: { readonly from?: Duration; readonly to?: Duration; readonly jitter?: Jitter }
  /** Maximum number of unfinished items of this process. Default 10,000. */
  readonly maxItems?: number
  /** The same in bytes of JSON. Default `64MiB`. */
  readonly maxBytes?: Size
  /** Default `drop-newest`. */
  readonly onFull?: OnFull
  /** Default `process`. */
  readonly durability?: Durability
  /** An item that waits longer causes a warning. Default `1m`. */
  readonly warnAge?: Duration
  /** The state directory of a process that does not run under Punctual. Default `.punctual`. */
  readonly stateDir?: string
  /** `graphileWorker(pool)` lets any machine handle the items. Default: only this one does. */
  readonly transport?: QueueTransport
  /** Receives the events of the queue. An exception is a process warning. Default: the log. */
  readonly onEvent?: (event: QueueEvent) => void
}

const OPTIONS: OptionNames<DurableQueueOptions> = {
  batch: true,
  linger: true,
  timeout: true,
  concurrency: true,
  attempts: true,
  backOff: true,
  maxItems: true,
  maxBytes: true,
  onFull: true,
  durability: true,
  warnAge: true,
  stateDir: true,
  transport: true,
  onEvent: true,
}

/** Takes the items of queues elsewhere, so that other machines can handle them too. */
export interface QueueTransport {
  /** Called once for each queue that uses this transport, when the queue is created. */
  open(queue: TransportedQueue): TransportConnection
}

/** A queue, as its transport sees it. */
export interface TransportedQueue {
  readonly name: string
  /** Handles the items, wherever they arrive. */
  readonly handler: QueueHandler<unknown>
  /** Of one call. */
  readonly timeout: Milliseconds
  /** How often an item may fail before it becomes a dead letter. */
  readonly attempts: number
  readonly gate: LoopGate
  readonly slots: HandlerSlots
  readonly events: QueueEvents
  /** Of this machine. */
  readonly deadLetters: Pick<DeadLetterQueue, 'deadLetter'>
}

/** What a queue delivers to in place of its handler. */
export interface TransportConnection {
  /** The process is ready: handlers may be called. */
  start(): void
  /** Resolves when the items are stored elsewhere. A repeat must not store them twice. */
  forward(items: readonly unknown[], context: QueueContext): Promise<void>
  /** The jobs that this process has run. */
  report(): QueueJobsReport
  /** Calls no more handlers, waits for the running ones, then aborts them. Never rejects. */
  stop(timeout: Milliseconds): Promise<void>
  /** Closes connections, after `stop` and the last `forward`. Never rejects. */
  close(timeout: Milliseconds): Promise<void>
}

/** The options with all defaults. */
export interface QueueSettings {
  readonly name: string
  readonly batch: number
  readonly linger: Milliseconds
  readonly timeout: Milliseconds
  readonly concurrency: number
  readonly attempts: number
  readonly backOff: BackOff
  readonly maxItems: number
  readonly maxBytes: number
  readonly onFull: OnFull
  readonly durability: Durability
  readonly warnAge: Milliseconds
  readonly stateDir: string | undefined
  readonly transport: QueueTransport | null
  readonly onEvent: (event: QueueEvent) => void
}

/** It is the name of a directory too. */
const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/i
const UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const
const ON_FULL: readonly OnFull[] = ['drop-newest', 'drop-oldest', 'reject']
const DURABILITIES: readonly Durability[] = ['process', 'disk', 'memory']
const JITTERS: readonly Jitter[] = ['full', 'decorrelated']

/** @throws InvalidOptionError for a name that is not a file name, and for invalid options */
export function readQueueOptions(name: unknown, options: DurableQueueOptions): QueueSettings {
  if (typeof name !== 'string' || !NAME.test(name)) {
    const must =
      'must be at most 64 letters, digits, "-", "_" or ".", the first a letter or digit: it is also the name of a directory'
    throw new InvalidOptionError('durableQueue', 'name', name, must)
  }
  const of = `durableQueue "${name}"`
  checkOptions(of, options, OPTIONS)
  const { backOff = {}, transport = null } = options
  checkOptions(of, backOff, { from: true, to: true, jitter: true }, 'backOff.')
  const timeout = readDuration(of, 'timeout', options.timeout ?? '30s')
  if (timeout === 0) {
    throw new InvalidOptionError(of, 'timeout', options.timeout, "must be greater than 0; use 'unbounded' for none")
  }
  if (transport !== null && typeof transport.open !== 'function') {
    throw new InvalidOptionError(of, 'transport', transport, 'must be a transport, such as graphileWorker(pool)')
  }
  return {
    name,
    batch: readCount(of, 'batch', options.batch ?? 500, 1),
    linger: readDuration(of, 'linger', options.linger ?? '20ms'),
    timeout,
    concurrency: readCount(of, 'concurrency', options.concurrency ?? 1, 1),
    attempts: readCount(of, 'attempts', options.attempts ?? 10, 1),
    backOff: {
      initialDelay: readDuration(of, 'backOff.from', backOff.from ?? '100ms'),
      maxDelay: readDuration(of, 'backOff.to', backOff.to ?? '30s'),
      jitter: readWord(of, 'backOff.jitter', backOff.jitter ?? 'full', JITTERS),
      random: Math.random,
    },
    maxItems: readCount(of, 'maxItems', options.maxItems ?? 10_000, 1),
    maxBytes: readSize(of, 'maxBytes', options.maxBytes ?? '64MiB'),
    onFull: readWord(of, 'onFull', options.onFull ?? 'drop-newest', ON_FULL),
    durability: readWord(of, 'durability', options.durability ?? 'process', DURABILITIES),
    warnAge: readDuration(of, 'warnAge', options.warnAge ?? '1m'),
    stateDir: options.stateDir,
    transport,
    onEvent: safeListener<QueueEvent>(of, options.onEvent ?? logEvent),
  }
}

function readWord<Word extends string>(of: string, option: string, word: Word, words: readonly Word[]): Word {
  if (words.includes(word)) return word
  throw new InvalidOptionError(of, option, word, `must be one of ${words.join(', ')}`)
}

function readSize(of: string, option: string, size: Size): number {
  if (typeof size === 'number') return readCount(of, option, size, 1)
  const match = /^(\d+(?:\.\d+)?)(KiB|MiB|GiB)$/.exec(size)
  const value = match === null ? 0 : Math.floor(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS])
  if (value >= 1) return value
  throw new InvalidOptionError(of, option, size, "must be a size, e.g. '64MiB', or at least 1 byte")
}
