/** What a value may depend on besides its text. */
export interface SettingContext {
  /** Relative paths start here. */
  readonly cwd: string
  /** Whether the log goes to a terminal. */
  readonly isTerminal: boolean
  /** What `auto` workers become. */
  readonly parallelism: number
}

/** As written: one text, or several for a list. */
export type Written = string | readonly string[]

/** What is wrong with one value or name. */
export type FaultKind =
  /** There is no setting or option of that name. */
  | 'unknown-name'
  /** It is given twice where it may stand once. */
  | 'duplicate'
  /** It is needed and not there, or there and undefined. */
  | 'missing'
  /** Neither text, number nor list, whichever it takes. */
  | 'wrong-type'
  | 'empty'
  /** A text that is not of the accepted form. */
  | 'invalid'
  | 'too-small'
  | 'too-large'
  /** A duration or a size without its unit. */
  | 'no-unit'
  /** A size in another unit than the accepted ones. */
  | 'wrong-unit'
  /** `unbounded`, where there must be a limit. */
  | 'not-unbounded'
  /** "Without limit" in another word than `unbounded`. */
  | 'unbounded-misspelled'
  /** It contradicts another setting or option. */
  | 'rule-broken'
  /** It needs something that is not there. */
  | 'unsupported'
  /** It cannot be changed while Punctual runs. */
  | 'not-changeable'
  | 'file-missing'
  /** Several config files, of which only one can apply. */
  | 'file-ambiguous'
  /** It is not JSON, or it threw while it was loaded. */
  | 'file-failed'
  | 'file-timed-out'
  /** Its default export is not an object of settings. */
  | 'file-without-settings'

/** Why a value does not apply; it completes a `SettingFault`. */
export interface Refusal {
  readonly ok: false
  readonly kind: FaultKind
  readonly what: string
  readonly advice: string
  /** What was probably meant, as it would be written. */
  readonly suggestion?: string
  /** The least or the most that is accepted. */
  readonly bound?: string
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | Refusal

/** How the values of a setting are written, read and shown. */
export interface Kind<T> {
  /** Stands for the value in the help: `<duration>`. */
  readonly label: string
  /** What is accepted, for the reference and for the advice of a fault: `250ms, 5s, 10m, 1h, 2d, or unbounded`. */
  readonly accepts: string
  /** Whether it is a list: its flag may be repeated, its config key is an array. */
  readonly list: boolean
  parse(written: Written, context: SettingContext): Parsed<T>
  /** A text that `parse` reads back as the same value. */
  format(value: T): string
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

/** A kind whose value is written as one word. Empty text and lists are refused here, once for all of them. */
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
      if (typeof written !== 'string') return refused('wrong-type', 'is a list', `write one value: ${kind.accepts}`)
      if (written.trim() === '') return refused('empty', 'is empty', `write ${kind.accepts}, or leave it out`)
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

/** For a value that somebody means as "without limit" but does not spell so. */
export function refuseUnlessUnbounded(word: string, mayBeUnbounded: boolean): Refusal | undefined {
  if (!mayBeUnbounded && word === 'unbounded') {
    return refused('not-unbounded', '"unbounded" does not apply', 'this one needs a limit')
  }
  if (!mayBeUnbounded || !WORDS_FOR_UNBOUNDED.has(word.toLowerCase())) return undefined
  return refused('unbounded-misspelled', `"${word}" is not accepted`, 'for "without limit" write unbounded', {
    suggestion: 'unbounded',
  })
}
