import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { UsageError } from '../errors/punctual-error.ts'

/** Writes the command that runs the app without the launcher. */
type Advise = (app: string) => string

const importTsx: Advise = (app) => `punctual run ${app} --import tsx`
const setVariables: Advise = (app) => `set the variables, and use punctual run ${app}`
const runItself: Advise = (app) => `punctual run ${app}`

/** Packages whose commands run the app in a child process. */
const LAUNCHERS: Readonly<Record<string, Advise>> = {
  tsx: importTsx,
  esno: importTsx,
  'ts-node-dev': importTsx,
  'cross-env': setVariables,
  'dotenv-cli': setVariables,
  'env-cmd': setVariables,
  '@dotenvx/dotenvx': setVariables,
  'tsc-watch': runItself,
  '@nestjs/cli': runItself,
  nodemon: runItself,
  supervisor: runItself,
  'node-dev': runItself,
  pm2: runItself,
  forever: runItself,
  foreman: runItself,
  concurrently: runItself,
  'npm-run-all': runItself,
  'npm-run-all2': runItself,
  npm: runItself,
  npx: runItself,
  pnpm: runItself,
  yarn: runItself,
}

/**
 * Refuses an entry that would start the app in a child process: that process could not be
 * supervised, and would not share the port with those of the other workers.
 *
 * @param entry as written
 * @param rest the arguments after it
 * @throws UsageError
 */
export function refuseLauncher(entry: string, rest: readonly string[]): void {
  const name = existsSync(entry) ? packageOf(entry) : basename(entry)
  const advise = name === null || !Object.hasOwn(LAUNCHERS, name) ? undefined : LAUNCHERS[name]
  if (advise === undefined) return
  const app = rest.find((argument) => /\.[cm]?[jt]sx?$/.test(argument)) ?? 'server.js'
  throw new UsageError(
    `${name} runs the app in a child process, which Punctual does not supervise; run the app itself: ${advise(app)}`,
  )
}

/** The name of the package that a file belongs to. */
function packageOf(file: string): string | null {
  const real = realpathSync(file)
  for (let directory = dirname(real); directory !== dirname(directory); directory = dirname(directory)) {
    const path = join(directory, 'package.json')
    if (!existsSync(path)) continue
    try {
      const { name } = JSON.parse(readFileSync(path, 'utf8')) as { readonly name?: unknown }
      if (typeof name === 'string') return name
    } catch {
      return null
    }
  }
  return null
}
