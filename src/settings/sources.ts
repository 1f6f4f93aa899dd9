import type { Written } from './kind.ts'
import { nearestName } from './nearest-name.ts'
import { flagOf, recordOf, SETTING_NAMES, type SettingName, variableOf } from './records.ts'
import type { Origin } from './settings.ts'
import type { SettingFault } from './settings-error.ts'

export interface SettingSources {
  /** By setting name: the texts of flags; a list for flags that may be repeated. */
  readonly flags: Readonly<Record<string, Written | undefined>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** The config file's name for messages, and its default export. */
  readonly file?: ConfigValues | undefined
  /** What the config file may hold besides settings. Default: nothing. */
  readonly sections?: readonly ConfigSection[]
}

export interface ConfigValues {
  readonly name: string
  readonly values: Readonly<Record<string, unknown>>
}

/** Keys of the config file that are not settings, and the check of the module that they belong to. */
export interface ConfigSection {
  readonly keys: readonly string[]
  /** Adds what is wrong with the values of its keys to `faults`. */
  check(file: ConfigValues, env: SettingSources['env'], faults: SettingFault[]): void
}

/** A value that somebody gave, not read yet. */
export interface Candidate {
  readonly name: SettingName
  readonly origin: Origin
  /** `--workers`, `PUNCTUAL_WORKERS`, `PORT`, `punctual.config.ts`, or `default`. */
  readonly source: string
  /** The source as a fault names it: `punctual.config.ts: workers`. */
  readonly place: string
  readonly written: unknown
}

/** What an arbiter tells its workers by environment begins so, and is no setting: an app may start `punctual` itself. */
const INTERNAL_VARIABLE = 'PUNCTUAL__'

/** All values given, the weakest source first. Names that are no settings become faults. */
export function collectCandidates(sources: SettingSources, faults: SettingFault[]): readonly Candidate[] {
  return withoutCovered([
    ...defaults(),
    ...fromFile(sources, faults),
    ...fromEnvironment(sources.env, faults),
    ...fromFlags(sources.flags, faults),
  ])
}

/** A platform's `PORT` is not ours to judge where a setting of Punctual's own covers it. */
function withoutCovered(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.filter(
    ({ name, source, origin }, index) =>
      origin !== 'environment' ||
      source !== recordOf(name).fallbackVariable ||
      !candidates.slice(index + 1).some((stronger) => stronger.name === name),
  )
}

function defaults(): Candidate[] {
  return SETTING_NAMES.map((name) => ({
    name,
    origin: 'default',
    source: 'default',
    place: 'default',
    written: recordOf(name).default,
  }))
}

function fromFile({ file, env, sections = [] }: SettingSources, faults: SettingFault[]): Candidate[] {
  if (file === undefined) return []
  for (const section of sections) section.check(file, env, faults)
  const others = sections.flatMap(({ keys }) => keys)
  const candidates: Candidate[] = []
  for (const [key, written] of Object.entries(file.values)) {
    if (written === undefined || others.includes(key)) continue
    const place = `${file.name}: ${key}`
    if (isSettingName(key)) candidates.push({ name: key, origin: 'file', source: file.name, place, written })
    else faults.push(unknownName(place, key, [...SETTING_NAMES, ...others]))
  }
  return candidates
}

function fromEnvironment(env: SettingSources['env'], faults: SettingFault[]): Candidate[] {
  const candidates: Candidate[] = []
  for (const name of SETTING_NAMES) {
    const { fallbackVariable } = recordOf(name)
    for (const source of fallbackVariable === undefined ? [variableOf(name)] : [fallbackVariable, variableOf(name)]) {
      const written = env[source]
      if (written !== undefined) candidates.push({ name, origin: 'environment', source, place: source, written })
    }
  }
  const variables = new Set(SETTING_NAMES.map(variableOf))
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('PUNCTUAL_') || variable.startsWith(INTERNAL_VARIABLE)) continue
    if (value !== undefined && !variables.has(variable)) faults.push(unknownName(variable, variable, variables))
  }
  return candidates
}

function fromFlags(flags: SettingSources['flags'], faults: SettingFault[]): Candidate[] {
  const candidates: Candidate[] = []
  for (const [name, written] of Object.entries(flags)) {
    if (written === undefined) continue
    if (isSettingName(name)) {
      const source = flagOf(name)
      candidates.push({ name, origin: 'flag', source, place: source, written })
    } else {
      const flag = flagOf(name as SettingName)
      faults.push(unknownName(flag, flag, SETTING_NAMES.map(flagOf)))
    }
  }
  return candidates
}

function isSettingName(name: string): name is SettingName {
  return SETTING_NAMES.includes(name as SettingName)
}

function unknownName(place: string, name: string, names: Iterable<string>): SettingFault {
  const nearest = nearestName(name, names)
  const fault = { setting: null, source: place, kind: 'unknown-name', what: 'there is no such setting' } as const
  if (nearest === undefined) return { ...fault, advice: 'see `punctual config` for all of them' }
  return { ...fault, advice: `did you mean ${nearest}?`, suggestion: nearest }
}
