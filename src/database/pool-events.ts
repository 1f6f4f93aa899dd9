import type { PoolHealth } from './pool-health.ts'

/**
 * What a pool has to say. `level`: its level has changed, or it is not HEALTHY for another minute. `leak`: a borrow beyond `leakLimit`.
 * `reclaimed`: one beyond `reclaimLimit`, whose connection was destroyed. `destroyed`: a connection in doubt. `rolled-back`: a connection came
 * back inside a transaction. `lost`: the server or the network ended a connection. `no-server-limit`: the database itself ends no statement.
 * `connections`: the server has fewer connections than all workers may come to need.
 */
export type PoolEventType =
  | 'level'
  | 'leak'
  | 'reclaimed'
  | 'destroyed'
  | 'rolled-back'
  | 'lost'
  | 'no-server-limit'
  | 'connections'

export interface PoolEvent {
  readonly type: PoolEventType
  readonly severity: 'info' | 'warn' | 'error'
  readonly pool: string
  /** A whole sentence, ready for the log. */
  readonly message: string
  readonly health: PoolHealth
}

/** Standard error for trouble, standard output for the rest: for an app that has not said where its log is. */
export function tellConsole(event: PoolEvent): void {
  console[event.severity](event.message)
}
