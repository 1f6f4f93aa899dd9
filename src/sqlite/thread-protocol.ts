import type { Failure } from './sqlite-errors.ts'
import type { SqliteParameters, SqliteRow } from './sqlite-values.ts'

/** When a commit is flushed to disk: `PRAGMA synchronous`. */
export type Synchronous = 'off' | 'normal' | 'full' | 'extra'

/** What a thread is started with. */
export interface ThreadData {
  readonly path: string
  readonly readOnly: boolean
  readonly synchronous: Synchronous
  readonly bigints: boolean
  /** How many prepared statements the thread keeps. */
  readonly statementCacheSize: number
  /** One 32-bit word with the phase of the current job: the only input that a busy thread reads. */
  readonly control: SharedArrayBuffer
}

/**
 * Values of the control word. The main thread sets `running` with each job, and replaces it by
 * `cancelled` when the caller gives up; the thread replaces it by `committing`. Only one of the two
 * can succeed, so both threads know whether the job can have been committed.
 */
export const PHASE = { running: 1, cancelled: 2, committing: 3 } as const

/**
 * The transaction that a statement runs in:
 * - `none`: none of ours.
 * - `own`: one of its own, which is rolled back if the caller has given up before the commit.
 * - `open`: the one that is open on the connection.
 */
export type InTransaction = 'none' | 'own' | 'open'

/** What a statement returns. `either`: rows if it has columns, else changes. */
export type ResultKind = 'rows' | 'first' | 'changes' | 'either'

export type TransactionMode = 'immediate' | 'deferred'

export interface StatementJob {
  readonly kind: 'statement'
  readonly sql: string
  readonly parameters: SqliteParameters
  readonly transaction: InTransaction
  readonly result: ResultKind
}

export interface ScriptJob {
  readonly kind: 'script'
  readonly sql: string
  readonly transaction: InTransaction
}

export type ThreadJob =
  | { readonly kind: 'open' }
  | StatementJob
  | ScriptJob
  | { readonly kind: 'begin'; readonly mode: TransactionMode }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }

/**
 * `more` asks for the next rows of the current job; `close` closes the file and ends the thread.
 */
export type ToThread = ThreadJob | { readonly kind: 'more' } | { readonly kind: 'close' }

/** Rows that are followed by more when the main thread asks for them. */
export interface RowsReply {
  readonly kind: 'some-rows'
  readonly rows: readonly SqliteRow[]
}

/** The last reply to a job. */
export type JobEnd =
  | { readonly kind: 'opened'; readonly journalMode: string }
  | { readonly kind: 'rows'; readonly rows: readonly SqliteRow[] }
  | { readonly kind: 'changes'; readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  | { readonly kind: 'done' }
  /** The file is locked; the job did nothing. */
  | { readonly kind: 'busy' }
  /** The caller has given up; the job did nothing, or was rolled back. */
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** A reply, and whether a transaction is open on the connection behind it. */
export interface FromThread {
  readonly reply: RowsReply | JobEnd
  readonly inTransaction: boolean
}
