import type { SettingContext, Written } from './kind.ts'
import { effectiveParallelism } from './parallelism.ts'
import { flagOf, recordOf, SETTING_NAMES, type SettingName } from './records.ts'
import { brokenRules, type Rule } from './rules.ts'
import type { Origin, Settings } from './settings.ts'
import { type FittingValues, type SettingFault, SettingsError } from './settings-error.ts'
import { type Candidate, collectCandidates, type SettingSources } from './sources.ts'
import { suggestValues } from './suggestion.ts'

/** Where a setting's value comes from. */
export interface SettingOrigin {
  readonly origin: Origin
  /** `--workers`, `PUNCTUAL_WORKERS`, `PORT`, `punctual.config.ts`, or `default`. */
  readonly source: string
  /** As it was written there: `auto`, where the value is 4. */
  readonly written: Written
}

type SettingOrigins = Readonly<Record<SettingName, SettingOrigin>>

export interface ResolvedSettings {
  readonly settings: Settings
  readonly origins: SettingOrigins
}

export interface ResolveOptions extends SettingSources {
  /** Relative paths start here. */
  readonly cwd: string
  /** Whether the log goes to a terminal. */
  readonly isTerminal: boolean
  /** What `auto` workers become. Default: what this machine, or its container, gives. */
  readonly parallelism?: number
}

/**
 * The settings in force: default < config file < environment < flag. Every value that is given must apply, also one that a stronger
 * source covers. Throws one `SettingsError` with all faults.
 */
export function resolveSettings(options: ResolveOptions): ResolvedSettings {
  const context = {
    cwd: options.cwd,
    isTerminal: options.isTerminal,
    parallelism: options.parallelism ?? effectiveParallelism(),
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
  const resolved = Object.freeze({ settings, origins: Object.freeze(origins as Record<SettingName, SettingOrigin>) })
  const ruleFaults = faultsOfRules(resolved, new Set(faults.map(({ setting }) => setting)))
  if (faults.length + ruleFaults.length === 0) return resolved
  const chosen = new Set(SETTING_NAMES.filter((name) => resolved.origins[name].origin !== 'default'))
  throw new SettingsError([...faults, ...ruleFaults], {
    fitting: ruleFaults.length === 0 ? null : fittingFlags(suggestValues(settings, chosen)),
  })
}

type Read = { readonly value: unknown; readonly written: Written } | { readonly fault: SettingFault }

function readCandidate({ name, origin, place, written }: Candidate, context: SettingContext): Read {
  const { kind } = recordOf(name)
  const text = asWritten(written)
  if (text === undefined) {
    const what = `a value of type ${typeOf(written)} does not apply`
    const advice = `write ${kind.list ? 'an array of texts' : kind.accepts}`
    return { fault: { setting: name, source: place, kind: 'wrong-type', what, advice, given: written } }
  }
  const parsed = kind.parse(text, context)
  if (parsed.ok) return { value: parsed.value, written: text }
  // Numbers in a config file are read as their text, which says all there is to say about a missing unit.
  const quoted = origin === 'file' && typeof written === 'number' ? parsed.what.replaceAll('"', '') : parsed.what
  const { ok: _, ...refusal } = parsed
  return { fault: { setting: name, source: place, ...refusal, what: quoted, given: written } }
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

/** A value and where it comes from, as a fault tells it: `stallKillAfter (15s, default)`. */
function tellSetting(name: SettingName, settings: Settings, origins: SettingOrigins): string {
  const { origin, source } = origins[name]
  const value = recordOf(name).kind.format(settings[name])
  return `${name} (${value}, ${origin === 'default' ? 'default' : source})`
}

function faultOfRule(rule: Rule, settings: Settings, origins: SettingOrigins): SettingFault {
  const [first, second] = rule.settings.map((name) => tellSetting(name, settings, origins))
  const relation =
    rule.order === null ? 'must differ from' : rule.order.strict ? 'must be less than' : 'must not be more than'
  const flags = rule.settings.map(flagOf)
  return {
    setting: null,
    source: `rule ${rule.says}`,
    kind: 'rule-broken',
    rule: rule.says,
    what: `${first} ${relation} ${second}`,
    advice: `change ${flags.join(' or ')}`,
  }
}

/** Rules about a setting whose value was refused say nothing: what stands there is a weaker source's. */
function faultsOfRules({ settings, origins }: ResolvedSettings, refused: ReadonlySet<string | null>): SettingFault[] {
  return brokenRules(settings)
    .filter((rule) => !rule.settings.some((name) => refused.has(name)))
    .map((rule) => faultOfRule(rule, settings, origins))
}

function fittingFlags(values: Partial<Settings>): FittingValues | null {
  const texts = Object.entries(values).map(([name, value]) => {
    return [name, recordOf(name as SettingName).kind.format(value)] as const
  })
  return texts.length === 0 ? null : { as: 'flags', values: Object.fromEntries(texts) }
}
