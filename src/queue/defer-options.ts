import { safeListener } from '../diagnostics/safe-listener.ts'
import { InvalidOptionError } from '../errors/invalid-option-error.ts'
import type { BackOff, Jitter } from '../resilience/back-off.ts'
import { type Duration, type Milliseconds, readCount, readDuration } from '../resilience/duration.ts'
import { type QueueEvent, tellConsole } from './defer-events.ts'
import type { QueueTransport } from './via.ts'

/** A size as an app writes it: `'64MiB'`, or a number of bytes. */
export type Size = `${number}${'KiB' | 'MiB' | 'GiB'}` | number

/**
 * What happens to an item when the queue is full. `drop-newest`: it is lost. `drop-oldest`: the one that has waited longest is lost for it. `reject`: it is
 * not accepted, and the caller decides; `push` returns `'rejected'`. All are counted, and logged at most once a second.
 */
export type OnFull = 'drop-newest' | 'drop-oldest' | 'reject'

/**
 * What an accepted item survives. `process`: the death of the process, SIGKILL included, not the loss of power. `disk`: that too, from about 10 ms after it
 * was accepted (`synced()` waits for it). `memory`: nothing.
 */
export type Durability = 'process' | 'disk' | 'memory'

export interface DurableQueueOptions {
  /** Items that the handler gets at a time, at most; also no more than about 1 MiB of JSON. Default 500. */
  readonly batch?: number
  /** How long the first item of a batch waits for others. Default `20ms`. */
  readonly linger?: Duration
  /** One call of the handler; then its signal is aborted and it counts as failed. Default `30s`. */
  readonly limit?: Duration
  /** Calls of the handler at a time. Above 1 the order is not kept. Default 1. See also `queueConcurrency`. */
  readonly concurrency?: number
  /** How often an item may fail before it goes to the dead letters. Default 10. */
  readonly attempts?: number
  /** The delay before another attempt: doubles from `from` (100 ms) to `to` (30 s), and is spread at random. */
  readonly backOff?: { readonly from?: Duration; readonly to?: Duration; readonly jitter?: Jitter }
  /** Items of this process that wait or are in work. Default 10,000. */
  readonly maxItems?: number
  /** The same in bytes of JSON. Default `64MiB`. */
  readonly maxBytes?: Size
  /** Default `drop-newest`. */
  readonly onFull?: OnFull
  /** Default `process`. */
  readonly durability?: Durability
  /** An item that waits for longer is worth a warning. Default `1m`. */
  readonly warnAge?: Duration
  /** Where the spool is in a process that does not run under Punctual. Default `.punctual`, as for `punctual run`. */
  readonly stateDir?: string
  /** Takes the items to where any machine may carry them out: `graphileWorker(pool)`. Default: they are carried out on this one. */
  readonly transport?: QueueTransport
  /** Told of everything worth a line. What it throws is a warning of the process. Default: the line goes to the console. */
  readonly onEvent?: (event: QueueEvent) => void
}

/** The options with every default filled in. */
export interface QueueSettings {
  readonly name: string
  readonly batch: number
  readonly linger: Milliseconds
  readonly limit: Milliseconds
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

/** @throws InvalidOptionError for a name that is not a file name, and for options that are invalid */
export function readQueueOptions(name: unknown, options: DurableQueueOptions): QueueSettings {
  if (typeof name !== 'string' || !NAME.test(name)) {
    const must =
      'must be at most 64 letters, digits, "-", "_" or ".", the first a letter or digit: it is also the name of a directory'
    throw new InvalidOptionError('durableQueue', 'name', name, must)
  }
  const where = `durableQueue "${name}"`
  const { backOff = {} } = options
  const limit = readDuration(where, 'timeout', options.limit ?? '30s')
  if (limit === 0) {
    throw new InvalidOptionError(where, 'limit', options.limit, "must be greater than 0; use 'unbounded' for no limit")
  }
  const { transport = null } = options
  if (transport !== null && typeof transport.open !== 'function') {
    throw new InvalidOptionError(where, 'transport', transport, 'must be a transport, such as graphileWorker(pool)')
  }
  return {
    name,
    batch: readCount(where, 'batch', options.batch ?? 500, 1),
    linger: readDuration(where, 'linger', options.linger ?? '20ms'),
    limit,
    concurrency: readCount(where, 'concurrency', options.concurrency ?? 1, 1),
    attempts: readCount(where, 'attempts', options.attempts ?? 10, 1),
    backOff: {
      base: readDuration(where, 'backOff.from', backOff.from ?? '100ms'),
      most: readDuration(where, 'backOff.to', backOff.to ?? '30s'),
      jitter: readWord(where, 'backOff.jitter', backOff.jitter ?? 'full', JITTERS),
      random: Math.random,
    },
    maxItems: readCount(where, 'maxItems', options.maxItems ?? 10_000, 1),
    maxBytes: readSize(where, 'maxBytes', options.maxBytes ?? '64MiB'),
    onFull: readWord(where, 'onFull', options.onFull ?? 'drop-newest', ON_FULL),
    durability: readWord(where, 'durability', options.durability ?? 'process', DURABILITIES),
    warnAge: readDuration(where, 'warnAge', options.warnAge ?? '1m'),
    stateDir: options.stateDir,
    transport,
    onEvent: safeListener(where, options.onEvent ?? tellConsole),
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
