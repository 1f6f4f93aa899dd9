import { redact } from '../redaction/redaction.ts'

/**
 * What happened to a queue, with its `details` in braces.
 *
 * - `degraded` { reason }: items are kept in memory only. `reason` is an error code of the file
 *   system, `slow` or `files-full`.
 * - `recovered` { items }: the disk works again; `items` of those in memory are written to it.
 * - `dropped` { drops, error }: items were not accepted or were dropped for newer ones, counted by
 *   reason. At most one event a second.
 * - `failing` { items, attempt, retryInMs, error }: the handler has begun to fail. With only {
 *   error, retryInMs }: the jobs of graphile-worker cannot run.
 * - `succeeding` { failures }: the handler succeeds again.
 * - `delivery-failed` { items, error }: Punctual itself failed; the items are kept and retried.
 * - `dead-letters` { items, error, written }: items became dead letters, at most one event a
 *   second; or they could not be written (`written: false`) and are kept.
 * - `late` { ageMs, warnAgeMs }: the oldest item has waited longer than `warnAge`.
 * - `in-time` { warnAgeMs }: it no longer does.
 * - `adopted` { items, owner }: the items of a process that exited were taken over.
 * - `jobs-released` { from }: the jobs of a silent process were given to others.
 * - `damaged` { path, problem, movedTo }: a file, or a part of one, could not be read.
 * - `lost` { items }: the process exits with items that are in memory only.
 */
export type QueueEventType =
  | 'degraded'
  | 'recovered'
  | 'dropped'
  | 'failing'
  | 'succeeding'
  | 'delivery-failed'
  | 'dead-letters'
  | 'late'
  | 'in-time'
  | 'adopted'
  | 'jobs-released'
  | 'damaged'
  | 'lost'

export interface QueueEvent {
  readonly type: QueueEventType
  readonly severity: 'info' | 'warn' | 'error'
  readonly queue: string
  /** One line for the log. */
  readonly message: string
  /** The same for programs; see `QueueEventType`. */
  readonly details: Readonly<Record<string, unknown>>
}

const SEVERITIES: Readonly<Record<QueueEventType, QueueEvent['severity']>> = {
  degraded: 'warn',
  recovered: 'info',
  dropped: 'warn',
  failing: 'warn',
  succeeding: 'info',
  'delivery-failed': 'error',
  'dead-letters': 'error',
  late: 'warn',
  'in-time': 'info',
  adopted: 'info',
  'jobs-released': 'warn',
  damaged: 'error',
  lost: 'error',
}

/** Where the parts of a queue report what happens. */
export class QueueEvents {
  readonly #queue: string
  readonly #listener: (event: QueueEvent) => void

  /** @param listener must not throw */
  constructor(queue: string, listener: (event: QueueEvent) => void) {
    this.#queue = queue
    this.#listener = listener
  }

  emit(type: QueueEventType, message: string, details: QueueEvent['details']): void {
    const queue = this.#queue
    this.#listener({ type, severity: SEVERITIES[type], queue, message: `queue ${queue}: ${message}`, details })
  }
}

const MAX_ERROR_LENGTH = 300

/** Formats an error as the end of a sentence, in one line of bounded length. */
export function formatError(error: unknown): string {
  const line = redact(textOf(error)).replace(/\s+/g, ' ').trim()
  return line.length <= MAX_ERROR_LENGTH ? line : `${line.slice(0, MAX_ERROR_LENGTH)}…`
}

/** Never throws: a handler may throw a value that cannot be converted to a string. */
export function textOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  } catch {
    return 'a value that cannot be converted to a string'
  }
}

/** `1 item`, `12 items`. */
export function formatItems(count: number): string {
  return count === 1 ? '1 item' : `${count} items`
}
