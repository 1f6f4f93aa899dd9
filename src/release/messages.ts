import type { ReleaseFailure, ReleaseRecord } from '../diagnostics/release-report.ts'
import type { Settings } from '../settings/settings.ts'
import type { DatabaseAddress } from './release-config.ts'

/** The settings that a release uses. */
export type ReleaseSettings = Pick<
  Settings,
  'releaseVersion' | 'releaseTimeout' | 'releaseLockTimeout' | 'releaseTableLockTimeout' | 'stateDir'
>

/** What the release process is asked to do. */
export interface ReleaseRequest {
  /** `rollback` undoes the newest release, `restore` restores its backup, `history` only reads. */
  readonly mode: 'run' | 'rollback' | 'restore' | 'history'
  /** Absolute path. Read again for each release: a deployment may have changed it. */
  readonly configFile: string
  readonly cwd: string
  /** Whether an older generation of the same arbiter is serving from the database meanwhile. */
  readonly serving: boolean
  readonly settings: ReleaseSettings
}

/** How a release ended. */
export interface ReleaseEnd {
  /**
   * `nothing`: the config file has no steps. `skipped`: this version is already released. `shown`:
   * the history was requested.
   */
  readonly outcome: 'nothing' | 'done' | 'skipped' | 'failed' | 'aborted' | 'shown'
  /** For a person; several lines if a step failed. */
  readonly message: string
  /** Why it failed or was aborted; otherwise null. */
  readonly failure: ReleaseFailure | null
  readonly version: string | null
  readonly record: ReleaseRecord | null
  /** Newest first; only for `history`. */
  readonly history: readonly ReleaseRecord[]
}

/** A log line with its fields. `event` names what happened. */
export interface ReleaseLogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: { readonly event: string; readonly [name: string]: unknown }
  readonly message: string
}

/** Messages to the release process. */
export type ToRelease =
  | { readonly type: 'begin'; readonly request: ReleaseRequest }
  | { readonly type: 'abort'; readonly why: string }

/** Messages from the release process. */
export type FromRelease =
  | { readonly type: 'log'; readonly line: ReleaseLogLine }
  | { readonly type: 'record'; readonly version: string; readonly record: ReleaseRecord | null }
  | { readonly type: 'ended'; readonly end: ReleaseEnd }

/**
 * What the process of a step must do. Sent over the IPC channel, because a command line would show
 * the database address with its password to other users.
 */
export interface StepTask {
  readonly configFile: string
  readonly cwd: string
  readonly name: string
  readonly action: 'run' | 'rollback'
  /** Null: the step is a function of the config file. */
  readonly command: string | null
  readonly transactional: boolean
  readonly app: string
  readonly version: string
  /**
   * Id of the run, written to the mark of a transactional step. Null if the version does not
   * identify the code, and no mark can be made.
   */
  readonly markFor: string | null
  readonly attempt: number
  readonly database: DatabaseAddress
  readonly applicationName: string
  /** Milliseconds; Infinity keeps the database's own setting. */
  readonly tableLockTimeout: number
  /** Whether commands get it as an option at the start of a connection, which poolers refuse. */
  readonly hasStartOptions: boolean
}

export type ToStep =
  | { readonly type: 'task'; readonly task: StepTask }
  | { readonly type: 'abort'; readonly why: string }

export type FromStep =
  | { readonly type: 'log'; readonly message: string }
  | { readonly type: 'ended'; readonly end: StepEnd }

export type StepEnd = { readonly outcome: 'done' | 'already-done' } | StepFailure

export interface StepFailure {
  readonly outcome: 'failed'
  readonly why: string
  readonly failure: Pick<ReleaseFailure, 'reason' | 'exitCode' | 'signal' | 'errorCode'>
  /**
   * Whether it failed only because a database lock could not be acquired, so that a retry may work.
   */
  readonly locked: boolean
}
