import type { Failure } from './sqlite-errors.ts'
import type { SqliteParameters, SqliteRow } from './sqlite-values.ts'

/** How far a database goes to have what was committed on the disk, see `PRAGMA synchronous`. */
export type Synchronous = 'off' | 'normal' | 'full' | 'extra'

/** What a thread is started with. */
export interface ThreadData {
  readonly path: string
  readonly readOnly: boolean
  readonly synchronous: Synchronous
  readonly bigints: boolean
  /** How many prepared statements it keeps. */
  readonly statements: number
  /** One 32-bit word, the phase of its job: the only thing that reaches a thread while it works. */
  readonly control: SharedArrayBuffer
}

/**
 * Values of the word. The main thread makes `running` of it, then either `cancelled` (nobody waits any more); the thread makes `committing` of `running`.
 * Whoever is first wins, so both know whether the work can have been carried out.
 */
export const PHASE = { running: 1, cancelled: 2, committing: 3 } as const

/**
 * - `bare`: as it is.
 * - `atomic`: in a transaction of its own, which is rolled back if nobody waits any more by then.
 * - `inside`: part of the transaction that is open.
 */
export type Guard = 'bare' | 'atomic' | 'inside'

/** `either`: rows if the statement has columns, changes if not. */
export type Yields = 'rows' | 'first' | 'changes' | 'either'

export type TransactionMode = 'immediate' | 'deferred'

export interface StatementJob {
  readonly kind: 'statement'
  readonly sql: string
  readonly parameters: SqliteParameters
  readonly guard: Guard
  readonly yields: Yields
}

export interface ScriptJob {
  readonly kind: 'script'
  readonly sql: string
  readonly guard: Guard
}

export type ThreadJob =
  | { readonly kind: 'open' }
  | StatementJob
  | ScriptJob
  | { readonly kind: 'begin'; readonly mode: TransactionMode }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }

/** `more`: go on with the rows of the job; `close`: close the file and end. */
export type ToThread = ThreadJob | { readonly kind: 'more' } | { readonly kind: 'close' }

/** Rows of which more follow when they are asked for. */
export interface RowsReply {
  readonly kind: 'some-rows'
  readonly rows: readonly SqliteRow[]
}

/** What ends a job. */
export type JobEnd =
  | { readonly kind: 'opened'; readonly journalMode: string }
  | { readonly kind: 'rows'; readonly rows: readonly SqliteRow[] }
  | { readonly kind: 'changes'; readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  | { readonly kind: 'done' }
  /** The file is locked; nothing was done. */
  | { readonly kind: 'busy' }
  /** Nobody waits any more; nothing was done, or all of it undone. */
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** What a thread answers. `open` says whether a transaction is open behind it. */
export interface FromThread {
  readonly reply: RowsReply | JobEnd
  readonly inTransaction: boolean
}
