/** What parsing a value may depend on besides its text. */
export interface SettingContext {
  /** Base of relative paths. */
  readonly cwd: string
  /** Whether the log goes to a terminal. */
  readonly isTerminal: boolean
  /** The value of `workers: auto`. */
  readonly parallelism: number
}

/** A value as written: one text, or several for a list. */
export type Written = string | readonly string[]

/** What is wrong with a value or a name. */
export type FaultKind =
  /** No setting or option has that name. */
  | 'unknown-name'
  /** Given twice where it may appear once. */
  | 'duplicate'
  /** Required and absent, or present and undefined. */
  | 'missing'
  /** Not of an accepted type, such as a list where a text is expected. */
  | 'wrong-type'
  | 'empty'
  /** A text that is not of the accepted form. */
  | 'invalid'
  | 'too-small'
  | 'too-large'
  /** A duration, size or share without its unit. */
  | 'no-unit'
  /** A size in another unit than the accepted ones. */
  | 'wrong-unit'
  /** `unbounded`, where a limit is required. */
  | 'not-unbounded'
  /** "No limit" in another word than `unbounded`. */
  | 'unbounded-misspelled'
  /** Contradicts another setting or option. */
  | 'rule-broken'
  /** Requires something that is not configured. */
  | 'unsupported'
  /** Cannot be changed while Punctual runs. */
  | 'not-changeable'
  | 'file-missing'
  /** Several config files, of which only one can apply. */
  | 'file-ambiguous'
  /** The config file is not JSON, or threw when it was loaded. */
  | 'file-failed'
  | 'file-timed-out'
  /** Another user may have written the config file, which commands that only read do not run. */
  | 'file-foreign'
  /** The default export of the config file is not an object of settings. */
  | 'file-without-settings'

/** Why a value is refused; the part of a `SettingFault` that a kind knows. */
export interface Refusal {
  readonly ok: false
  readonly kind: FaultKind
  readonly what: string
  readonly advice: string
  /** What was probably meant, as it would be written. */
  readonly suggestion?: string
  /** The accepted minimum or maximum. */
  readonly bound?: string
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | Refusal

/** How the values of a setting are written, parsed and formatted. */
export interface Kind<T> {
  /** Placeholder for the value in the help: `<duration>`. */
  readonly label: string
  /** The accepted form, for the reference and for advice: `250ms, 5s, 10m or unbounded`. */
  readonly accepts: string
  /** Whether it is a list: its flag may be repeated, its config key is an array. */
  readonly list: boolean
  parse(written: Written, context: SettingContext): Parsed<T>
  /** A text that `parse` reads as the same value. */
  format(value: T): string
}

/** The heading of a setting in the help, the reference and `punctual config`. */
export type SettingGroup =
  | 'Serving'
  | 'Timeouts'
  | 'Overload'
  | 'Stalls'
  | 'Recycling'
  | 'Releasing'
  | 'Restarting'
  | 'Observing'

export interface SettingRecord<T> {
  readonly group: SettingGroup
  readonly kind: Kind<T>
  /** As it would be written. */
  readonly default: Written
  /** One or two sentences for the help and the reference. */
  readonly prose: string
  /** The variable that platforms set, read where the setting's own variable is not set. */
  readonly fallbackVariable?: string
  /** The value of the flag, which then takes none. */
  readonly bare?: string
  /** What applies a change by `punctual set`; undefined where a restart is needed. */
  readonly runtime?: 'arbiter' | 'watchdog' | 'worker'
}

export function accepted<T>(value: T): Parsed<T> {
  return { ok: true, value }
}

export function refused(
  kind: FaultKind,
  what: string,
  advice: string,
  facts: Pick<Refusal, 'suggestion' | 'bound'> = {},
): Refusal {
  return { ok: false, kind, what, advice, ...facts }
}

/** A kind whose value is one word. Refuses lists and empty texts, so that `parse` need not. */
export function wordKind<T>(kind: {
  readonly label: string
  readonly accepts: string
  readonly parse: (word: string, context: SettingContext) => Parsed<T>
  readonly format: (value: T) => string
}): Kind<T> {
  return {
    label: kind.label,
    accepts: kind.accepts,
    list: false,
    parse(written, context) {
      if (typeof written !== 'string') return refused('wrong-type', 'is a list', `use one value: ${kind.accepts}`)
      if (written.trim() === '') return refused('empty', 'is empty', `use ${kind.accepts}, or remove it`)
      return kind.parse(written, context)
    },
    format: kind.format,
  }
}

const WORDS_FOR_UNBOUNDED = new Set([
  'infinity',
  '+infinity',
  'inf',
  'none',
  'never',
  'off',
  'unlimited',
  'null',
  '-1',
  '0',
])

/**
 * Refuses a value that means "no limit" in another word, and `unbounded` where it is not allowed.
 */
export function refuseUnlessUnbounded(word: string, allowed: boolean): Refusal | undefined {
  if (!allowed && word === 'unbounded') {
    return refused('not-unbounded', '"unbounded" is not allowed', 'use a finite value')
  }
  if (!allowed || !WORDS_FOR_UNBOUNDED.has(word.toLowerCase())) return undefined
  return refused('unbounded-misspelled', `"${word}" is not accepted`, 'for no limit use unbounded', {
    suggestion: 'unbounded',
  })
}
