/**
 * What a cache has to say. `redis-down`: Redis is not asked any more. `redis-up`: it is asked again. `deaf`: invalidations of other machines are not
 * heard. `queue-overflow`: so many invalidations wait for Redis that all it has will be dropped instead. `undecodable`: a value in Redis could not be read.
 */
export type CacheEventType = 'redis-down' | 'redis-up' | 'deaf' | 'queue-overflow' | 'undecodable'

export interface CacheEvent {
  readonly type: CacheEventType
  readonly severity: 'info' | 'warn' | 'error'
  /** A whole sentence, ready for the log. */
  readonly message: string
}

/** Standard error for trouble, standard output for the rest: for an app that has not said where its log is. */
export function tellConsole(event: CacheEvent): void {
  console[event.severity](event.message)
}
