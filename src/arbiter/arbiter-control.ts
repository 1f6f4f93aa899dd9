import type { Incident, IncidentSummary } from '../diagnostics/incident.ts'
import type { ReportedMetrics } from '../diagnostics/metrics.ts'
import type { Status } from '../diagnostics/status.ts'
import type { SettingsReport } from '../settings/settings-report.ts'

/** What a running arbiter offers to the control socket and the admin server. */
export interface ArbiterControl {
  /** From the arbiter's own data, without asking a worker. */
  status(): Status
  /** What the modules of the workers reported last. */
  metrics(): ReportedMetrics
  /** Resolves when the new generation serves alone, or has been dropped. */
  reload(): Promise<CommandOutcome>
  /** Resolves when the change has started. */
  scale(change: ScaleChange): Promise<CommandOutcome>
  /** Resolves when all workers have exited; fails if the shutdown of one did. */
  stop(): Promise<CommandOutcome>
  incidents(): Promise<readonly IncidentSummary[]>
  incident(id: string): Promise<Incident | undefined>
  readonly settings: SettingsControl
}

export type ScaleChange = { readonly to: number } | { readonly by: number }

/** `code` is one of `src/errors/codes.ts`; `message` is a sentence for the operator. */
export type CommandOutcome =
  | { readonly ok: true; readonly message: string }
  | {
      readonly ok: false
      readonly code: string
      readonly message: string
      readonly details?: Readonly<Record<string, unknown>>
    }

/** Shows and changes the settings of a running arbiter, and the values that its app declares. */
export interface SettingsControl {
  /** From the arbiter's own data, without asking a worker. */
  inForce(): SettingsInForce
  /**
   * Changes all of these or none. Resolves when the workers have confirmed, or at the timeout.
   * Rejects with a `PunctualError` if nothing was changed.
   *
   * @param texts by name, as an operator writes them
   * @param force accepts names that no worker declares; workers that declare one later apply it
   */
  set(texts: Readonly<Record<string, string>>, force: boolean): Promise<SetOutcome>
  /** Reverts what was set; everything if no name is given. */
  unset(names: readonly string[]): Promise<SetOutcome>
}

export interface SetOutcome {
  /** For the operator, in lines. */
  readonly message: string
  readonly changes: readonly SettingChange[]
  /** Workers in which the change is in effect. */
  readonly confirmed: readonly number[]
  /** Workers that have not confirmed it. */
  readonly unconfirmed: readonly number[]
  /** Whether it is saved, so that it still applies after a restart of the arbiter. */
  readonly isSaved: boolean
}

/** The change of one name. Values are texts, written as a flag would be. */
export interface SettingChange {
  readonly name: string
  /** The value that was set; null if it is no longer set. */
  readonly value: string | null
  /** In force before; null if unknown, since no worker declares it. */
  readonly before: string | null
  /** In force from now on; null if unknown. */
  readonly after: string | null
}

/** The settings in effect and the values of the app; texts, written as a flag would be. */
export interface SettingsInForce extends SettingsReport {
  /** Of the arbiter. */
  readonly pid: number
  /** Settings and values of the app that `punctual set` has set, by name. */
  readonly set: Readonly<Record<string, { readonly value: string; readonly at: string }>>
  /** Values that the app declares by name. */
  readonly declared: readonly DeclaredInForce[]
}

export interface DeclaredInForce {
  readonly name: string
  /** Those in effect; more than one only while workers differ. */
  readonly values: readonly string[]
  /** The app's own default. */
  readonly standard: string
  readonly isSet: boolean
  /** How many workers declare it. */
  readonly workers: number
}
