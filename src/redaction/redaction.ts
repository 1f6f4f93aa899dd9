/**
 * What Punctual hides before it writes or serves a text. Every log line, incident, report and
 * command goes through this module; `docs/guides/log.md` lists the rules for users.
 */
import { basename } from 'node:path'

/** What stands for a secret. */
export const REDACTED = '[redacted]'

/** Longer texts are truncated before they are searched. In characters. */
const MAX_LENGTH = 32 * 1024
const MAX_DEPTH = 30

/** Names of values that are secrets, with `-`, `_` or nothing between the words. */
const SECRET_WORDS =
  'passw(?:or)?d|passphrase|passcode|pwd|secret|token|credentials?|authorization|cookie|dsn|signature|jwt|session[-_]?id|(?:api|access|private|signing|encryption|auth|account|master|shared|license)[-_ ]?key'
/** Short names, which count if nothing follows them. */
const SHORT_NAMES = 'pass|pw|sid'
const SECRET_NAME = new RegExp(`(?:${SECRET_WORDS})|(?:${SHORT_NAMES})$`, 'i')
/** `tokenTtl` and `passwordLength` say something about a secret. */
const ABOUT_SECRET =
  /(?:ttl|timeout|limit|length|size|count|age|lifetime|expiry|interval|rate|policy|url|path|file|name|s)$/i

/** Whether the value of this name is to be shown as set, and not as what: `mail.apiKey`. */
export function isSecretName(name: string): boolean {
  const last = name.slice(name.lastIndexOf('.') + 1)
  return SECRET_NAME.test(last) && (!ABOUT_SECRET.test(last) || /(?:pass|passwords|secrets|credentials)$/i.test(last))
}

/**
 * A quick test for texts that may contain a secret: everything that the rules below look for has
 * one of these. Most names and messages have none.
 */
const SUSPICIOUS =
  /[=?@:"'`\n]|(?:^|\s)-\w|--|eyJ|AKIA|ASIA|gh[opsur]_|github_pat|[rs]k_|whsec_|xox|AIza|ya29|npm_|glpat|sk-|SG\.|\b(?:auth|bearer|basic|select|insert|update|delete|merge|call|row) /i

type Rule = readonly [pattern: RegExp, replacement: string]

/** A value as it follows a name: quoted, in a scheme of HTTP, or up to the next separator. */
const VALUE = String.raw`"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|\x60[^\x60\n]*\x60?|(?:Bearer|Basic|Digest|Token) [^\s,;"']+|\[[^\]\n]{0,2000}\]|[^\s,;&"'\x60(){}[\]<>]+`
/** Placeholders and words that are no secret, so that SQL and messages stay readable. */
const NO_SECRET = String.raw`(?!(?:undefined|null|true|false|\$\d+|\?|:\w+|\[redacted\])(?![^\s,;&"'(){}[\]<>]))`
/** Between the name and its value: `=`, `:`, `=>`, also after the quote of a JSON key. */
const SEPARATOR = String.raw`\\?["']?\s{0,3}(?:=>?|:(?!\/\/))\s{0,3}\\?`

const DATABASES =
  'postgres(?:ql)?|mysql|mariadb|rediss?|mongodb(?:\\+srv)?|amqps?|smtps?|mssql|sqlserver|kafka|nats|ldaps?|mqtts?|clickhouse|s?ftp'

const RULES: readonly Rule[] = [
  // Keys in PEM form.
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}-----|$)/g, REDACTED],
  // User and password of a URL. In a database URL people do not encode `/`, `#` and `?`.
  [new RegExp(String.raw`\b(${DATABASES}):\/\/[^\s"'<>\x60]{0,500}@`, 'gi'), `$1://${REDACTED}@`],
  [/:\/\/[^\s/?#"'<>`]{1,2000}@/g, `://${REDACTED}@`],
  // Headers whose whole line is a secret, unless their value is quoted.
  [/\b((?:proxy-)?authorization|(?:set-)?cookie)(\s{0,3}:\s{0,3})(?!["'`\s])[^\n]+/gi, `$1$2${REDACTED}`],
  [
    new RegExp(
      String.raw`((?:(?:${SECRET_WORDS})(?![\w-]{0,40}(?:Error|Exception)\b)[\w-]{0,40}|${SHORT_NAMES})${SEPARATOR})${NO_SECRET}(?:${VALUE})`,
      'gi',
    ),
    `$1${REDACTED}`,
  ],
  // Headers as Node lists them: `'Cookie', 'a=b'`.
  [/(["'](?:(?:proxy-)?authorization|(?:set-)?cookie)["'],\s{0,9})(?:"[^"\n]*"|'[^'\n]*')/gi, `$1${REDACTED}`],
  // The command of Redis, with a user or without.
  [/\bAUTH (?:[^\s:]+ )?[^\s:]+/g, `AUTH ${REDACTED}`],
  // `--password hunter2`
  [
    new RegExp(String.raw`((?<!\w)--?[\w-]{0,40}(?:${SECRET_WORDS})[\w-]{0,40} )(?!-)(?:${VALUE})`, 'gi'),
    `$1${REDACTED}`,
  ],
  // Values of a query string. The position of a stack frame follows the URL of its module.
  [/([?&][\w.%[\]-]{1,64}=)[^\s&#"'<>)`]+?(?=(?::\d+){0,2}(?:[\s&#"'<>)`]|$))/g, `$1${REDACTED}`],
  [/\b(Bearer|Basic) (?=[^\s\d]{0,200}\d|\S{20})[\w+/=.~:-]{6,}/gi, `$1 ${REDACTED}`],
  // Tokens that are known by their form: JWT, AWS, GitHub, Stripe, Slack, Google, npm, GitLab, …
  [/\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g, REDACTED],
  [/\b(?:AKIA|ASIA)[A-Z\d]{16}\b/g, REDACTED],
  [
    /\b(?:gh[opsur]_|github_pat_|[rs]k_(?:live|test)_|whsec_|npm_|glpat-|sk-|xox[a-z]-|AIza|ya29\.|SG\.)[\w.-]{16,}/g,
    REDACTED,
  ],
  // What JSON.parse quotes of a body.
  [/(?:\.\.\.)?"[\s\S]{0,200}?"(?:\.\.\.)? is not valid JSON/g, `${REDACTED} is not valid JSON`],
  // What databases quote of a row.
  [/(\bKey \([^)\n]{0,200}\)=)\([^\n]{0,2000}?\)(?= already| is | conflicts|\s|$)/g, `$1(${REDACTED})`],
  [/(Failing row contains )\([^\n]*/g, `$1(${REDACTED})`],
  [
    /(invalid input (?:syntax|value) for [\w .]{1,80}: |out of range: |invalid byte sequence [^:\n]{0,80}: |value )"[^\n]*?"/g,
    `$1"${REDACTED}"`,
  ],
  [/(Duplicate entry |(?:Incorrect|Truncated incorrect) [\w ]{1,40} value: )'[^\n]*?'/g, `$1'${REDACTED}'`],
  // What query builders add to a failed statement.
  [/^([ \t]{0,20}(?:params|parameters|bindings|values): ).*$/gim, `$1${REDACTED}`],
]

/** What `execSync`, `execFile` and execa put in front of the command that failed. */
const FAILED_COMMAND = /(\bCommand (?:failed|was killed|was canceled|timed out)[^:\n]{0,80}: )([^\n]+)/g

/** Statements of one text that are searched. */
const MAX_STATEMENTS = 50

/** The beginning of a statement within a text, up to the first frame of a stack. */
const STATEMENT =
  /\b(?:select\b[\s\S]{1,400}?\bfrom|insert\s{1,9}(?:ignore\s{1,9})?into|update\b[\s\S]{1,200}?\bset|delete\s{1,9}from|merge\s{1,9}into|call\s{1,9}\w{1,99}\()\b[\s\S]*?(?=\n {4}at |$)/gi
/**
 * Strings and numbers of a statement, and what follows it; names and placeholders stay. Text in
 * double quotes is a string where it is compared or listed (SQLite, MySQL).
 */
const SQL_LITERAL =
  /;[\s\S]*$|(?<=[=<>]\s?|\b(?:values|in)\s{0,9}\([^()]{0,200})"(?:[^"]|"")*"(?!\.)|\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)|'(?:[^']|'')*(?:'|$)|(?<![\w$.:])\d+(?:\.\d+)?(?![\w.:])/g

/**
 * Replaces the secrets in a text: passwords of URLs, values of query strings, values whose name
 * says that they are secret, known forms of tokens, literals of SQL statements, and what parsers
 * and databases quote of a body or a row. Names, hosts, ports and the rest stay.
 */
export function redact(text: string): string {
  if (!SUSPICIOUS.test(text)) return text
  let result = text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH)}…`
  result = result.replace(
    FAILED_COMMAND,
    (_, what: string, command: string) => what + programName(['sh', '-c', command]),
  )
  for (const [pattern, replacement] of RULES) result = result.replace(pattern, replacement)
  return redactSql(result, MAX_STATEMENTS)
}

/** @param left statements; what follows them is hidden */
function redactSql(text: string, left: number): string {
  if (left === 0) return REDACTED
  const redactLiteral = (found: string): string => {
    return found.startsWith(';') ? `;${redactSql(found.slice(1), left - 1)}` : '?'
  }
  return text.replace(STATEMENT, (statement) => statement.replace(SQL_LITERAL, redactLiteral))
}

/**
 * Fields of reports with SQL whose values have been replaced; `punctual explain` needs it as it is.
 */
export const NORMALIZED_SQL: ReadonlySet<string> = new Set(['sql', 'explainable'])

/**
 * Redacts all texts in a value; those under the name of a secret completely.
 *
 * @param keep names of fields that are known to hold no secret, such as normalized SQL
 */
export function redactAll<Value>(value: Value, keep?: ReadonlySet<string>): Value {
  return redactValue(value, keep, 0) as Value
}

function redactValue(value: unknown, keep: ReadonlySet<string> | undefined, depth: number): unknown {
  if (typeof value === 'string') return redact(value)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return errorFields(value)
  if (depth > MAX_DEPTH) return REDACTED
  if (Array.isArray(value)) return value.map((item) => redactValue(item, keep, depth + 1))
  if (!isPlain(value)) return value
  const entries = Object.entries(value).map(([name, item]) => {
    if (keep?.has(name) === true) return [name, item]
    if (typeof item === 'string' && item !== '' && isSecretName(name)) return [name, REDACTED]
    return [redact(name), redactValue(item, keep, depth + 1)]
  })
  return Object.fromEntries(entries)
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The fields of an error in a log line: without those that libraries add, such as a request. */
export interface ErrorFields {
  readonly type: string
  readonly message: string
  readonly stack: string
  readonly code?: string
}

/** Never throws: an app may throw a value that has no string form. */
export function errorFields(error: unknown): ErrorFields {
  try {
    if (!(error instanceof Error)) return { type: typeof error, message: redact(String(error)), stack: '' }
    const { code } = error as NodeJS.ErrnoException
    const fields = { type: redact(error.name), message: redact(error.message), stack: redact(stackOf(error, 0)) }
    return code === undefined ? fields : { ...fields, code: redact(String(code)) }
  } catch {
    return { type: 'unknown', message: 'a value that cannot be converted to a string', stack: '' }
  }
}

/** The errors of an `AggregateError` that are shown. */
const MAX_ERRORS = 5

function stackOf(error: Error, depth: number): string {
  const own = String(error.stack ?? `${error.name}: ${error.message}`)
  if (depth >= 5) return own
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors.slice(0, MAX_ERRORS) : []
  const parts = errors.map(
    (one) => `one of its errors: ${one instanceof Error ? stackOf(one, depth + 1) : String(one)}`,
  )
  if (error.cause instanceof Error) parts.push(`caused by: ${stackOf(error.cause, depth + 1)}`)
  return [own, ...parts].join('\n')
}

/**
 * An error as text: its stack with its causes, or a value that is no error. Without the fields that
 * `console.error` would print. Never throws.
 */
export function errorText(error: unknown): string {
  const { message, stack } = errorFields(error)
  return stack === '' ? message : stack
}

/** A path segment that looks random: a webhook, a link to reset a password. */
const RANDOM_SEGMENT = /^(?:(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?=\D*\d)[\w.~:%+=-]+|[\da-f]{40,})$/
const MIN_RANDOM_LENGTH = 20

/**
 * A path without the segments that are random text of letters and digits. Called for each line of
 * the access log: a loop over the segments takes a third of the time of one expression.
 */
export function redactPath(path: string): string {
  if (path.length <= MIN_RANDOM_LENGTH) return path
  let result = ''
  let copied = 0
  for (let start = 0; start < path.length; ) {
    const slash = path.indexOf('/', start)
    const end = slash === -1 ? path.length : slash
    if (end - start >= MIN_RANDOM_LENGTH && RANDOM_SEGMENT.test(path.slice(start, end))) {
      result += path.slice(copied, start) + REDACTED
      copied = end
    }
    start = end + 1
  }
  return copied === 0 ? path : result + path.slice(copied)
}

/**
 * The target of a request without its query string, and without user and password if it is a whole
 * URL.
 */
export function redactTarget(target: string): string {
  const query = target.indexOf('?')
  const whole = query === -1 ? target : target.slice(0, query)
  const fragment = whole.indexOf('#')
  const path = fragment === -1 ? whole : whole.slice(0, fragment)
  return redactPath(path.startsWith('/') ? path : path.replace(/^([a-z][a-z\d+.-]{0,30}:\/\/)?[^/]*@/i, '$1'))
}

/** `data:` URLs are code; other URLs of modules lose their query. */
export function redactModule(file: string): string {
  if (file.startsWith('data:')) return 'data:…'
  return file.includes('://') ? redact(file) : file
}

/** What may be shown of a word of a command. */
const PROGRAM = /^[\w./+@-]{1,200}$/
const SHELL = /(?:^|\/)(?:sh|bash|dash|ash|zsh|ksh)$/
/** A word of a shell command, with its quotes. */
const SHELL_WORD = /(?:[^\s'"\\;&|()<>]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+/g

/**
 * The name of the program that a process runs. Arguments, and variables set for a command, may be
 * secrets. Of a shell with `-c` it is the first program of the command.
 */
export function programName(words: readonly string[]): string {
  const [program = '', option = '', command = ''] = words
  const own = PROGRAM.test(program) ? basename(program) : 'a program'
  if (!SHELL.test(program) || !/^-\w*c$/.test(option)) return own
  const first = (command.match(SHELL_WORD) ?? []).find((word) => word !== 'exec' && !/^\w+\+?=/.test(word))
  return first !== undefined && PROGRAM.test(first) ? basename(first) : own
}
