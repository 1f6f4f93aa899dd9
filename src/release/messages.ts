import type { ReleaseFailure, ReleaseRecord } from '../diagnostics/release-report.ts'
import type { Settings } from '../settings/settings.ts'
import type { DatabaseAddress } from './release-config.ts'

/** The settings a release goes by. */
export type ReleaseSettings = Pick<
  Settings,
  'releaseVersion' | 'releaseTimeout' | 'releaseLockTimeout' | 'releaseTableLockTimeout' | 'stateDir'
>

/** What the process that releases is asked to do. */
export interface ReleaseRequest {
  /** `rollback` undoes the newest release; `restore` by its back-up. `history` only reads. */
  readonly mode: 'run' | 'rollback' | 'restore' | 'history'
  /** Absolute path. It is read anew: after a deployment it may have other steps. */
  readonly configFile: string
  readonly cwd: string
  /** Whether an older generation of the same arbiter uses the database meanwhile. */
  readonly serving: boolean
  readonly settings: ReleaseSettings
}

export interface ReleaseEnd {
  /** `nothing`: the config file has no steps. `skipped`: this version has been done already. `shown`: the history was asked for. */
  readonly outcome: 'nothing' | 'done' | 'skipped' | 'failed' | 'aborted' | 'shown'
  /** A finished sentence, or several lines of it where a step failed. */
  readonly message: string
  /** Why it failed or was aborted, in fields; else null. */
  readonly failure: ReleaseFailure | null
  readonly version: string | null
  readonly record: ReleaseRecord | null
  /** The newest first; of `history` alone. */
  readonly history: readonly ReleaseRecord[]
}

/** A line for the log: what happened, by name and with its facts, and in words. */
export interface ReleaseLogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: { readonly event: string; readonly [name: string]: unknown }
  readonly message: string
}

/** From the process that started it. */
export type ToRelease =
  | { readonly type: 'begin'; readonly request: ReleaseRequest }
  | { readonly type: 'abort'; readonly why: string }

/** From the process that releases. */
export type FromRelease =
  | { readonly type: 'log'; readonly line: ReleaseLogLine }
  | { readonly type: 'record'; readonly version: string; readonly record: ReleaseRecord | null }
  | { readonly type: 'ended'; readonly end: ReleaseEnd }

/** What the process of one step is to do. It has the address of the database, so it goes over the channel and not on a command line. */
export interface StepTask {
  readonly configFile: string
  readonly cwd: string
  readonly name: string
  readonly form: 'run' | 'rollback'
  /** Null: it is a function of the config file. */
  readonly command: string | null
  readonly transactional: boolean
  readonly app: string
  readonly version: string
  /** Id of the record, for the mark of a transactional step; null where there is no version to mark it for. */
  readonly markFor: string | null
  readonly attempt: number
  readonly database: DatabaseAddress
  readonly applicationName: string
  /** Milliseconds; Infinity leaves it to the database. */
  readonly tableLock: number
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
  /** The same in fields. */
  readonly failure: Pick<ReleaseFailure, 'reason' | 'exitCode' | 'signal' | 'errorCode'>
  /** A lock of the database was not to be had, and another attempt may get it. */
  readonly locked: boolean
}
