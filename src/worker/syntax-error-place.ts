import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'

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
