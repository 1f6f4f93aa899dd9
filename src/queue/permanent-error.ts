/**
 * Thrown by a handler of a durable queue to say that trying again is of no use: the items go to the dead letters at once.
 *
 * With `ids` those items alone; the others of the batch are tried again without delay. Without, a batch of several is first tried in halves,
 * to find out which items are meant.
 */
export class PermanentError extends Error {
  static {
    PermanentError.prototype.name = 'PermanentError'
  }

  readonly permanent = true
  /** Ids of the items that are to blame; undefined if the handler cannot tell. */
  readonly ids: readonly string[] | undefined

  constructor(message: string, options: { readonly cause?: unknown; readonly ids?: readonly string[] } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.ids = options.ids
  }
}

/** By what it says, not by its class: an app may have a copy of Punctual of its own, or errors of its own that say so. */
export function isPermanent(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as { permanent?: unknown }).permanent === true
}

/** The ids a permanent error names. */
export function idsOf(error: unknown): ReadonlySet<string> {
  const ids = isPermanent(error) ? (error as { ids?: unknown }).ids : undefined
  return new Set(Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [])
}
