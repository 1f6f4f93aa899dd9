import type { SettingsReport } from '../settings/settings-report.ts'

/** How the settings of a running arbiter, and the values that its app has declared, are seen and changed. */
export interface SettingsControl {
  /** At once, from the arbiter's own data. */
  inForce(): SettingsInForce
  /**
   * Changes all of these or none; resolves when the workers have said that they have it, or have had their time to. Rejects with a
   * `PunctualError` when nothing has been changed.
   *
   * @param texts as an operator writes them, by name
   * @param force also names that no worker has declared; whoever declares one later takes the value
   */
  set(texts: Readonly<Record<string, string>>, force: boolean): Promise<SetOutcome>
  /** Takes back what was set; all of it where no name is given. */
  unset(names: readonly string[]): Promise<SetOutcome>
}

export interface SetOutcome {
  /** For the operator, in lines. */
  readonly message: string
  readonly changes: readonly SettingChange[]
  /** Workers in which it is in force. */
  readonly confirmed: readonly number[]
  /** Workers that have not said that they have it. */
  readonly unconfirmed: readonly number[]
  /** Whether it is written down, so that it holds after a restart of the arbiter too. */
  readonly isSaved: boolean
}

/** What became of one name. Values are texts, written as a flag would be. */
export interface SettingChange {
  readonly name: string
  /** What it was set to; null where it is no longer set. */
  readonly value: string | null
  /** In force before; null where it is not known, since no worker has declared it. */
  readonly before: string | null
  /** In force from now on; null where it is not known. */
  readonly after: string | null
}

/** The settings in force, and the values of the app, as data. Values are texts, written as a flag would be. */
export interface SettingsInForce extends SettingsReport {
  /** Of the arbiter. */
  readonly pid: number
  /** What `punctual set` has set: settings and values of the app, by name. */
  readonly set: Readonly<Record<string, { readonly value: string; readonly at: string }>>
  /** Values that the app has declared by name. */
  readonly declared: readonly DeclaredInForce[]
}

export interface DeclaredInForce {
  readonly name: string
  /** Those in force, where workers differ for the moment; nearly always one. */
  readonly values: readonly string[]
  /** What the app has where nobody has set anything. */
  readonly standard: string
  readonly isSet: boolean
  /** How many workers have declared it. */
  readonly workers: number
}
