import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import type { ReportedError } from '../diagnostics/incident.ts'
import { redact } from '../redaction/redaction.ts'

/**
 * The location of Punctual's own code, as ES modules and as CommonJS modules show it in a stack.
 */
const OWN = new URL('..', import.meta.url)
const OWN_LOCATIONS = [OWN.href, OWN.pathname]
/** How long the second load of an app with a syntax error may take, in milliseconds. */
const SECOND_LOAD_TIMEOUT = 5_000

/**
 * A thrown value as it is sent to the arbiter: with its causes, without the stack frames of Node
 * and Punctual, and redacted.
 */
export function reportedError(thrown: unknown): ReportedError {
  if (!(thrown instanceof Error)) {
    const message = redact(String(thrown))
    return { name: 'Error', message: `a value that is not an Error was thrown: ${message}`, stack: message }
  }
  const { code } = thrown as NodeJS.ErrnoException
  const error = { name: redact(thrown.name), message: redact(thrown.message), stack: redact(causes(thrown)) }
  return code === undefined ? error : { ...error, code: redact(String(code)) }
}

function causes(error: Error, depth = 0): string {
  const own = withoutInternals(String(error.stack ?? `${error.name}: ${error.message}`))
  return error.cause instanceof Error && depth < 5 ? `${own}\n  caused by ${causes(error.cause, depth + 1)}` : own
}

function withoutInternals(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !/^ {4}at /.test(line) || !isInternal(line))
    .join('\n')
}

function isInternal(frame: string): boolean {
  return (
    /[( ]node:(?:internal\/|diagnostics_channel:)/.test(frame) || OWN_LOCATIONS.some((place) => frame.includes(place))
  )
}

/** Whether it is a syntax error of an ES module, the only kind of error without its location. */
export function lacksLocation(thrown: unknown): thrown is SyntaxError {
  return thrown instanceof SyntaxError && /^SyntaxError\b/.test(thrown.stack ?? '')
}

/** The same error with its location in front of the stack, as Node writes it. */
export function withLocation(error: ReportedError, location: string | null): ReportedError {
  return location === null ? error : { ...error, stack: redact(`${location}\n\n${error.stack}`) }
}

/**
 * Finds the location of a syntax error in an ES module: its file and line, the text of the line,
 * and a marker below the position. Node prints that for an uncaught error, but no API returns it.
 * So a second Node process loads the app and prints it.
 *
 * Nothing of the app runs in that process: all modules are read and linked before the first one is
 * evaluated, which exits. An error behind a dynamic import is not found.
 *
 * @returns null if the second load does not find this error within 5 s
 */
export function findSyntaxError(error: SyntaxError, entry: string, flags: readonly string[]): Promise<string | null> {
  const program = `import 'data:text/javascript,process.exit()'\nimport ${JSON.stringify(pathToFileURL(entry).href)}`
  const { NODE_CHANNEL_FD: _, ...env } = process.env
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...flags, '--input-type=module', '--eval', program],
      { env, timeout: SECOND_LOAD_TIMEOUT, killSignal: 'SIGKILL' },
      (_failed, _stdout, stderr) => {
        const [location = '', rest = ''] = stderr.split('\n\n')
        resolve(/^\S.*:\d+\n/.test(location) && rest.includes(error.message) ? location : null)
      },
    )
  })
}
