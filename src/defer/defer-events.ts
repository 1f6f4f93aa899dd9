/**
 * What a queue has to say. `degraded`: items are kept in memory alone, or again on disk (`recovered`). `dropped`: items were not accepted, or were given up
 * for newer ones; at most once a second. `failing`: the handler has begun to fail, or succeeds again (`succeeding`). `dead-letters`: items were set aside for
 * good; at most once a second. `late`: the oldest item has waited longer than `warnAge`, or no longer (`in-time`). `adopted`: what another process has left was
 * taken over. `damaged`: some of it could not be read. `lost`: the process leaves with items that are in memory alone.
 */
export type QueueEventType =
  | 'degraded'
  | 'recovered'
  | 'dropped'
  | 'failing'
  | 'succeeding'
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
}

/** Standard error for trouble, standard output for the rest: for an app that has not said where its log is. */
export function tellConsole(event: QueueEvent): void {
  console[event.severity](event.message)
}

/** An error as the end of a sentence, in one line and bounded. */
export function tellError(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length <= 300 ? line : `${line.slice(0, 300)}…`
}

/** `1 item`, `12 items`. */
export function tellItems(count: number): string {
  return count === 1 ? '1 item' : `${count} items`
}
