import { printable } from '../redaction/printable.ts'
import { wallClock } from '../resilience/clock.ts'

const COLORS: Readonly<Record<string, number>> = { trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 35 }
/** Longer fields are not shown. */
const MAX_FIELD_LENGTH = 60
const MAX_FIELDS_LENGTH = 120
const HIDDEN = new Set(['level', 'time', 'pid', 'msg', 'event', 'error'])

/** Formats a JSON log line as text: `12:03:04.123 warn  the message key=value`, in local time. */
export function formatLogLine(jsonLine: string, color: boolean): string {
  const line = JSON.parse(jsonLine) as Record<string, unknown>
  const level = String(line.level)
  const paint = (code: number, text: string): string => (color ? `\u001b[${code}m${text}\u001b[39m` : text)
  const rest = [shortFields(line), formatError(line.error, level)]
  const head = `${paint(90, timeOfDay())} ${paint(COLORS[level] ?? 39, level.padEnd(5))}`
  return `${head} ${lines(String(line.msg ?? ''))}${rest[0] === '' ? '' : ` ${paint(90, rest[0] ?? '')}`}${rest[1]}\n`
}

/** Indents all lines but the first, so that none looks like a log line. */
function lines(text: string): string {
  return text
    .split('\n')
    .map((line, index) => printable(index === 0 ? line : line.trim()))
    .join('\n    ')
}

function timeOfDay(): string {
  const now = wallClock()
  return `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, '0')}`
}

function shortFields(line: Record<string, unknown>): string {
  const shown: string[] = []
  for (const [key, value] of Object.entries(line)) {
    if (HIDDEN.has(key) || value === null || typeof value === 'object') continue
    const text = typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : String(value)
    if (text.length <= MAX_FIELD_LENGTH) shown.push(`${key}=${printable(text)}`)
  }
  const all = shown.join(' ')
  return all.length <= MAX_FIELDS_LENGTH ? all : ''
}

/** The stack for errors, only the message for warnings and below. */
function formatError(error: unknown, level: string): string {
  if (typeof error !== 'object' || error === null) return ''
  const { message, stack } = error as { readonly message?: unknown; readonly stack?: unknown }
  if ((level === 'error' || level === 'fatal') && typeof stack === 'string') {
    return `\n    ${lines(stack)}`
  }
  return typeof message === 'string' ? `: ${printable(message)}` : ''
}
