import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import type { ReportedError } from '../diagnostics/incident.ts'

/** Where Punctual's own code lies: as a URL, and as CommonJS frames write it. */
const OWN = new URL('..', import.meta.url)
const OWN_PLACES = [OWN.href, OWN.pathname]

/** Whatever was thrown, as it travels: with the causes of an error, and with those frames of its stack that are not of the machinery around the app. */
export function reportedError(thrown: unknown): ReportedError {
  if (!(thrown instanceof Error)) {
    const message = String(thrown)
    return { name: 'Error', message: `a value that is no Error was thrown: ${message}`, stack: message }
  }
  const { code } = thrown as NodeJS.ErrnoException
  const error = { name: thrown.name, message: thrown.message, stack: causes(thrown) }
  return code === undefined ? error : { ...error, code: String(code) }
}

function causes(error: Error, depth = 0): string {
  const own = withoutMachinery(String(error.stack ?? `${error.name}: ${error.message}`))
  return error.cause instanceof Error && depth < 5 ? `${own}\n  caused by ${causes(error.cause, depth + 1)}` : own
}

function withoutMachinery(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !/^ {4}at /.test(line) || !isMachinery(line))
    .join('\n')
}

function isMachinery(frame: string): boolean {
  return /[( ]node:(?:internal\/|diagnostics_channel:)/.test(frame) || OWN_PLACES.some((place) => frame.includes(place))
}

/** A syntax error of an ES module: the only kind of error that does not say where it is. */
export function lacksPlace(thrown: unknown): thrown is SyntaxError {
  return thrown instanceof SyntaxError && /^SyntaxError\b/.test(thrown.stack ?? '')
}

/** The same error, with its place in front as Node writes it. */
export function withPlace(error: ReportedError, place: string | null): ReportedError {
  return place === null ? error : { ...error, stack: `${place}\n\n${error.stack}` }
}

/** How long the second reading of the app may take. */
const LIMIT = 5_000

/**
 * Where a syntax error of an ES module is: its file and line, the line, and a mark below the spot. Node prints that for an error which nobody
 * catches, and tells it to no program. So another Node is made to read the app and to print.
 *
 * Nothing of the app runs in it: all modules are read and linked before any is run, and the one that is run first ends the process. An error
 * behind a dynamic import is not found this way.
 *
 * @returns null where the second reading does not find this error within 5 s
 */
export function placeOfSyntaxError(
  error: SyntaxError,
  entry: string,
  flags: readonly string[],
): Promise<string | null> {
  const program = `import 'data:text/javascript,process.exit()'\nimport ${JSON.stringify(pathToFileURL(entry).href)}`
  const { NODE_CHANNEL_FD: _, ...env } = process.env
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...flags, '--input-type=module', '--eval', program],
      { env, timeout: LIMIT, killSignal: 'SIGKILL' },
      (_failed, _stdout, stderr) => {
        const [place = '', rest = ''] = stderr.split('\n\n')
        resolve(/^\S.*:\d+\n/.test(place) && rest.includes(error.message) ? place : null)
      },
    )
  })
}
