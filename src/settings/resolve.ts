import { nearestName } from '../errors/check-options.ts'
import { autoWorkers } from './container-limits.ts'
import type { SettingContext, Written } from './kind.ts'
import { recordOf, SETTING_NAMES, type SettingName } from './records.ts'
import { brokenRules, faultOfRule, suggestValues } from './rules.ts'
import type { Origin, ResolvedSettings, SettingOrigin, Settings } from './settings.ts'
import { flagOf, variableOf } from './settings.ts'
import { type FittingValues, type SettingFault, SettingsError } from './settings-error.ts'

export interface ConfigValues {
  /** For messages. */
  readonly name: string
  /** The default export. */
  readonly values: Readonly<Record<string, unknown>>
}

/** Keys of the config file that are not settings, with the check of the module that owns them. */
export interface ConfigSection {
  readonly keys: readonly string[]
  /** Adds the faults of its keys to `faults`. */
  check(file: ConfigValues, env: ResolveOptions['env'], faults: SettingFault[]): void
}

export interface ResolveOptions {
  /** By setting name: the texts of flags; a list for flags that may be repeated. */
  readonly flags: Readonly<Record<string, Written | undefined>>
  readonly env: Readonly<Record<string, string | undefined>>
  readonly file?: ConfigValues | undefined
  /** The keys of the config file that are not settings. Default: none. */
  readonly sections?: readonly ConfigSection[]
  /** Base of relative paths. */
  readonly cwd: string
  /** Default of the state directory. Default: `.punctual` in `cwd`. */
  readonly stateDir?: string
  /** Whether the log goes to a terminal. */
  readonly isTerminal: boolean
  /** The value of `workers: auto`. Default: what the CPUs and the memory of this machine allow. */
  readonly parallelism?: number
}

/**
 * The settings in effect: default < config file < environment < flag. Every value that is given
 * must be valid, also one that a stronger source overrides.
 *
 * @throws SettingsError with every fault
 */
export function resolveSettings(options: ResolveOptions): ResolvedSettings {
  const context = {
    cwd: options.cwd,
    isTerminal: options.isTerminal,
    parallelism: options.parallelism ?? autoWorkers().workers,
  }
  const faults: SettingFault[] = []
  const values: Partial<Record<SettingName, unknown>> = {}
  const origins: Partial<Record<SettingName, SettingOrigin>> = {}
  for (const candidate of collectCandidates(options, faults)) {
    const { name, origin, source } = candidate
    const read = readCandidate(candidate, context)
    if ('fault' in read) {
      faults.push(read.fault)
      continue
    }
    values[name] = read.value
    origins[name] = Object.freeze({ origin, source, written: read.written })
  }
  const settings = Object.freeze(values as unknown as Settings)
  const resolved = Object.freeze({ settings, origins: Object.freeze(origins as ResolvedSettings['origins']) })
  const ruleFaults = faultsOfRules(resolved, new Set(faults.map(({ setting }) => setting)))
  if (faults.length + ruleFaults.length === 0) return resolved
  const chosen = new Set(SETTING_NAMES.filter((name) => resolved.origins[name].origin !== 'default'))
  throw new SettingsError([...faults, ...ruleFaults], {
    fitting: ruleFaults.length === 0 ? null : fittingFlags(suggestValues(settings, chosen)),
  })
}

/** A value from one source, not parsed yet. */
interface Candidate {
  readonly name: SettingName
  readonly origin: Origin
  /** `--workers`, `PUNCTUAL_WORKERS`, `PORT`, `punctual.config.ts`, or `default`. */
  readonly source: string
  /** The source as a fault names it: `punctual.config.ts: workers`. */
  readonly place: string
  readonly written: unknown
}

/** The arbiter passes its workers variables that begin so; they are not settings. */
const INTERNAL_VARIABLE = 'PUNCTUAL__'

/** The values of all sources, the weakest source first. Unknown names become faults. */
function collectCandidates(options: ResolveOptions, faults: SettingFault[]): readonly Candidate[] {
  return withoutOverridden([
    ...fromDefaults(options),
    ...fromFile(options, faults),
    ...fromEnvironment(options.env, faults),
    ...fromFlags(options.flags, faults),
  ])
}

/**
 * Drops a platform's `PORT` where a setting of Punctual overrides it: it may be meant for the app.
 */
function withoutOverridden(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.filter(
    ({ name, source, origin }, index) =>
      origin !== 'environment' ||
      source !== recordOf(name).fallbackVariable ||
      !candidates.slice(index + 1).some((stronger) => stronger.name === name),
  )
}

function fromDefaults({ stateDir }: ResolveOptions): Candidate[] {
  return SETTING_NAMES.map((name) => ({
    name,
    origin: 'default',
    source: 'default',
    place: 'default',
    written: name === 'stateDir' && stateDir !== undefined ? stateDir : recordOf(name).default,
  }))
}

function fromFile({ file, env, sections = [] }: ResolveOptions, faults: SettingFault[]): Candidate[] {
  if (file === undefined) return []
  for (const section of sections) section.check(file, env, faults)
  const otherKeys = sections.flatMap(({ keys }) => keys)
  const candidates: Candidate[] = []
  for (const [key, written] of Object.entries(file.values)) {
    if (written === undefined || otherKeys.includes(key)) continue
    const place = `${file.name}: ${key}`
    if (isSetting(key)) candidates.push({ name: key, origin: 'file', source: file.name, place, written })
    else faults.push(unknownName(place, key, [...SETTING_NAMES, ...otherKeys]))
  }
  return candidates
}

function fromEnvironment(env: ResolveOptions['env'], faults: SettingFault[]): Candidate[] {
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

function fromFlags(flags: ResolveOptions['flags'], faults: SettingFault[]): Candidate[] {
  const candidates: Candidate[] = []
  for (const [name, written] of Object.entries(flags)) {
    if (written === undefined) continue
    const source = flagOf(name as SettingName)
    if (isSetting(name)) candidates.push({ name, origin: 'flag', source, place: source, written })
    else faults.push(unknownName(source, source, SETTING_NAMES.map(flagOf)))
  }
  return candidates
}

export function isSetting(name: string): name is SettingName {
  return SETTING_NAMES.includes(name as SettingName)
}

function unknownName(place: string, name: string, names: Iterable<string>): SettingFault {
  const nearest = nearestName(name, names)
  const fault = { setting: null, source: place, kind: 'unknown-name', what: 'unknown setting' } as const
  if (nearest === undefined) return { ...fault, advice: '`punctual config` lists all settings' }
  return { ...fault, advice: `did you mean ${nearest}?`, suggestion: nearest }
}

type Read = { readonly value: unknown; readonly written: Written } | { readonly fault: SettingFault }

function readCandidate({ name, origin, place, written }: Candidate, context: SettingContext): Read {
  const { kind } = recordOf(name)
  const text = asWritten(written)
  if (text === undefined) {
    const what = `a value of type ${typeOf(written)} is not accepted`
    const advice = `use ${kind.list ? 'an array of texts' : kind.accepts}`
    return { fault: { setting: name, source: place, kind: 'wrong-type', what, advice, given: written } }
  }
  const parsed = kind.parse(text, context)
  if (parsed.ok) return { value: parsed.value, written: text }
  const { ok: _, ...refusal } = parsed
  // A number in a config file is parsed as its text, and shown without the quotes it does not have.
  const what = origin === 'file' && typeof written === 'number' ? parsed.what.replaceAll('"', '') : parsed.what
  return { fault: { setting: name, source: place, ...refusal, what, given: written } }
}

function asWritten(written: unknown): Written | undefined {
  if (typeof written === 'string') return written
  if (typeof written === 'number') return String(written)
  if (Array.isArray(written) && written.every((entry) => typeof entry === 'string')) return written
  return undefined
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

/** Skips rules about a setting whose value was refused: a weaker source's value is in its place. */
function faultsOfRules(resolved: ResolvedSettings, refused: ReadonlySet<string | null>): SettingFault[] {
  return brokenRules(resolved.settings)
    .filter((rule) => !rule.settings.some((name) => refused.has(name)))
    .map((rule) => faultOfRule(rule, resolved))
}

function fittingFlags(values: Partial<Settings>): FittingValues | null {
  const texts = Object.entries(values).map(([name, value]) => {
    return [name, recordOf(name as SettingName).kind.format(value)] as const
  })
  return texts.length === 0 ? null : { as: 'flags', values: Object.fromEntries(texts) }
}
