/**
 * What happened to a queue, with its `details` in braces.
 *
 * - `degraded` { reason }: items are kept in memory only. `reason` is an error code of the file system, `slow` or `files-full`.
 * - `recovered` { items }: items go to disk again, as do those that were kept in memory.
 * - `dropped` { drops, error }: items were not accepted, or were dropped for newer ones, counted by reason; at most once a second.
 * - `failing` { items, attempt, retryInMs, error }: the handler has begun to fail; or { error }: jobs cannot be run or announced.
 * - `succeeding` { failures }: the handler succeeds again.
 * - `delivery-failed` { items, error }: Punctual itself failed while it delivered; the items are kept and tried again.
 * - `dead-letters` { items, error, written }: items went to the dead letters, at most once a second; or they could not be written there and are kept.
 * - `late` { ageMs, warnAgeMs }: the oldest item has waited longer than `warnAge`; `in-time` { warnAgeMs }: no longer.
 * - `adopted` { items, owner }: items of a process that exited were taken over; or { from }: its jobs were released.
 * - `damaged` { path, problem, movedTo }: some of them could not be read.
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
  | 'damaged'
  | 'lost'

export interface QueueEvent {
  readonly type: QueueEventType
  readonly severity: 'info' | 'warn' | 'error'
  readonly queue: string
  /** A whole sentence, ready for the log. */
  readonly message: string
  /** The same for programs; see `QueueEventType`. */
  readonly details: Readonly<Record<string, unknown>>
}

/** Standard error for trouble, standard output for the rest: for an app that has not said where its log is. */
export function tellConsole(event: QueueEvent): void {
  console[event.severity](event.message)
}

/** An error as the end of a sentence, in one line and bounded. */
export function tellError(error: unknown): string {
  const text = textOf(error)
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length <= 300 ? line : `${line.slice(0, 300)}…`
}

/** Never throws: a handler may throw what has no text. */
export function textOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  } catch {
    return 'a value that cannot be converted to a string'
  }
}

/** `1 item`, `12 items`. */
export function tellItems(count: number): string {
  return count === 1 ? '1 item' : `${count} items`
}
