import { readSetFile, type SetFileFault, type SetValues } from '../arbiter/set-file.ts'
import { overlayValidSettings } from '../settings/overlay.ts'
import { isSetting } from '../settings/resolve.ts'
import type { ResolvedSettings } from '../settings/settings.ts'
import type { SettingFault } from '../settings/settings-error.ts'
import type { ReportedSetting } from '../settings/settings-report.ts'

export interface LeftOut {
  readonly name: string
  readonly value: string
  readonly fault: SettingFault
  readonly message: string
}

export interface KeptSettings {
  /** With what was set on top. */
  readonly resolved: ResolvedSettings
  /** What was set and still applies, values of the app included: whether those apply is for the app to say. */
  readonly set: SetValues
  /** Why the file could not be read; null where all is well. */
  readonly fault: SetFileFault | null
  /** What was set and applies no more. */
  readonly leftOut: readonly LeftOut[]
}

/** What `punctual set` has set on this state directory holds after a restart, too. Never rejects: it must not keep anything from starting. */
export async function readKeptSettings(base: ResolvedSettings): Promise<KeptSettings> {
  const { values, fault } = await readSetFile(base.settings.stateDir)
  const texts = [...values].map(([name, { value }]) => [name, value] as const)
  // Values of the app have a dot in their name; anything else that is no setting was one of another version.
  const { resolved, leftOut } = overlayValidSettings(base, Object.fromEntries(texts.filter(([name]) => isOurs(name))))
  return {
    resolved,
    set: new Map([...values].filter(([name]) => !Object.hasOwn(leftOut, name))),
    fault,
    leftOut: Object.entries(leftOut).map(([name, fault]) => {
      const value = values.get(name)?.value ?? ''
      const why = `${fault.source}: ${fault.what}`
      return {
        name,
        value,
        fault,
        message: `${name} was set to ${value}, which does not apply any more; it is left out (${why})`,
      }
    }),
  }
}

function isOurs(name: string): boolean {
  return isSetting(name) || !name.includes('.')
}

/** The values of the app that were set, for the log of a start. */
export function keptValues(set: SetValues): readonly (ReportedSetting & { readonly name: string })[] {
  return [...set]
    .filter(([name]) => !isSetting(name))
    .map(([name, { value }]) => ({ name, value, origin: 'set', source: 'set' }))
}
