import type { Settings } from '../settings/settings.ts'

/** Some of the settings, in a form that JSON carries: "without limit" is a word in it. */
export type SettingsChange = Readonly<Record<string, string | number | readonly string[]>>

const WITHOUT_LIMIT = 'unbounded'

/** What has to be said of these settings. */
export function encodeChange(settings: Settings, names: readonly (keyof Settings)[]): SettingsChange {
  return Object.fromEntries(
    names.map((name) => [name, settings[name] === Number.POSITIVE_INFINITY ? WITHOUT_LIMIT : settings[name]]),
  )
}

/**
 * Changes settings in the place where everybody reads them: whoever reads a field when it is needed, and keeps no copy, has what is in
 * force. Only a process's own copy is changed so; in the arbiter, settings are replaced whole.
 */
export function applyChange(settings: Settings, change: SettingsChange): void {
  for (const [name, value] of Object.entries(change)) {
    ;(settings as unknown as Record<string, unknown>)[name] = value === WITHOUT_LIMIT ? Number.POSITIVE_INFINITY : value
  }
}
