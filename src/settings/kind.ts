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

export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  /** `what` and `advice` complete a `SettingFault`. */
  | { readonly ok: false; readonly what: string; readonly advice: string }

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

export function refused(what: string, advice: string): { readonly ok: false; what: string; advice: string } {
  return { ok: false, what, advice }
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
      if (typeof written !== 'string') return refused('is a list', `write one value: ${kind.accepts}`)
      if (written.trim() === '') return refused('is empty', `write ${kind.accepts}, or leave it out`)
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
export function refuseUnlessUnbounded(
  word: string,
  mayBeUnbounded: boolean,
): { readonly ok: false; what: string; advice: string } | undefined {
  if (!mayBeUnbounded && word === 'unbounded') return refused('"unbounded" does not apply', 'this one needs a limit')
  if (!mayBeUnbounded || !WORDS_FOR_UNBOUNDED.has(word.toLowerCase())) return undefined
  return refused(`"${word}" is not accepted`, 'for "without limit" write unbounded')
}
