import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ms } from '../../src/resilience/duration.ts'
import { formatError } from './app-error.ts'
import { type DatabaseAddress, databaseUrlOf, readDatabaseUrl } from './database/database-url.ts'
import { inUseError, isStartAlive, lockHolder } from './guardian/directory-lock.ts'
import type { Guard } from './guardian/guard.ts'
import { startGuard } from './guardian/guard.ts'
import { within } from './guardian/wait-until.ts'
import { readFaults } from './outside/faults.ts'
import { type Outside, startOutside } from './outside/outside.ts'
import { announceReady, announceReleased, cacheText, formatDatabase, say } from './starting/announce.ts'
import { checkPort } from './starting/check-port.ts'
import { RELEASE_CONFIG, readRunFlags, urlOf } from './starting/run-flags.ts'
import type { StartSignal } from './starting/signals.ts'
import { hearSignals } from './starting/signals.ts'

/**
 * Runs `npm start`: a database (`DATABASE_URL`, or a PostgreSQL under the state directory), the
 * surroundings of the app (a partner's API, a mail server, and faults on demand), then Punctual
 * with the release (migrations and seed) and the app; finally stops everything. Exits with the code
 * of Punctual, 1 if the database could not be started, 2 for a port in use or an invalid
 * `DATABASE_URL`, 4 if the release failed.
 */

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PUNCTUAL = join(ROOT, 'bin', 'punctual.js')
/** Exit code of Punctual. */
const RELEASE_FAILED = 4
const ENTRY = fileURLToPath(new URL('app.ts', import.meta.url))

/** Ends `npm start` with a message and an exit code. */
class StartFailure extends Error {
  readonly exitCode: number
  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/** The running Punctual command. */
let punctual: { readonly command: 'release' | 'run'; readonly child: ChildProcess } | undefined
let guard: Guard | undefined
let outside: Outside | undefined
/** Set by the first stop signal; nothing is started after it. */
let stopAsked: StartSignal | undefined

async function start(given: readonly string[]): Promise<number> {
  if (!existsSync(PUNCTUAL))
    throw new StartFailure(`${PUNCTUAL} is missing: the checkout of Punctual is incomplete.`, 1)
  if (given.includes('--help') || given.includes('-h')) return run(['run', '--help'], process.env).ended
  const flags = readRunFlags(given, process.env)
  const faults = await attempt(2, async () => readFaults(process.env))
  const address = await attempt(2, async () => givenDatabase(process.env))
  // The directory of our own PostgreSQL, if we run one.
  const directory = join(resolve(ROOT, flags.stateDir), 'postgres')
  const other = address === undefined ? lockHolder(join(directory, 'lock')) : undefined
  if (other !== undefined && isStartAlive(other)) throw new StartFailure(formatError(inUseError(other, directory)), 1)
  if (!flags.hasConfig) {
    await attempt(2, () => checkPort(flags.host, flags.port, '--port', 'the app'))
    await attempt(2, () => checkPort(flags.adminHost, flags.adminPort, '--admin-port', 'the admin server'))
  }
  guard = await startGuard({
    waiting: (why) => say('database', why),
    lost: (what) => {
      console.error(`npm start: ${what} exited unexpectedly; stopping`)
      passOn('SIGTERM')
    },
  })
  const databaseUrl = address === undefined ? await openDatabaseServer(guard, directory) : databaseUrlOf(address)
  if (stopAsked !== undefined) return codeOf(null, stopAsked)
  say('database', `${address?.kind === 'sqlite' ? 'SQLite' : 'PostgreSQL'} at ${formatDatabase(databaseUrl)}`)
  if (address?.kind === 'sqlite') {
    say('database', 'login only: /api/auth and /before/api/auth need PostgreSQL')
  }
  const surroundings = await attempt(1, () => startOutside(databaseUrl))
  outside = surroundings
  if (address?.kind !== 'sqlite') say('cache', cacheText(process.env.REDIS_URL))
  if (stopAsked !== undefined) return codeOf(null, stopAsked)

  const env = {
    ...process.env,
    DATABASE_URL: surroundings.databaseUrl,
    DIRECT_DATABASE_URL: databaseUrl,
    PARTNER_URL: surroundings.partnerUrl,
    SMTP_URL: surroundings.smtpUrl,
    FAULTS_URL: surroundings.faultsUrl,
    ADMIN_URL: urlOf(flags.adminHost, flags.adminPort),
  }
  // Faults are for the app, and some need its tables, so they start after the release.
  const orderFaults = (): Promise<void> =>
    attempt(2, () => surroundings.order(faults), 'could not order the faults of the environment (FAULT_…)')
  if (flags.hasConfig) {
    // A config file of your own does not have the release steps of this app.
    const code = await runGuarded(guard, 'release', ['--config', RELEASE_CONFIG], env)
    if (stopAsked !== undefined) return codeOf(null, stopAsked)
    if (code !== 0) return code
    await orderFaults()
    if (stopAsked !== undefined) return codeOf(null, stopAsked)
  }
  const ended = runGuarded(guard, 'run', [ENTRY, ...flags.args], env)
  const over = new AbortController()
  let refused: unknown
  const announce = async (): Promise<void> => {
    if (!flags.hasConfig) {
      if (!(await announceReleased(flags, over.signal))) return
      await orderFaults()
    }
    await announceReady(flags, over.signal)
  }
  const announced = announce().catch((error: unknown) => {
    refused = error
    passOn('SIGTERM')
  })
  const code = await ended
  over.abort()
  await announced
  if (refused !== undefined) throw refused
  if (code === RELEASE_FAILED && address !== undefined) {
    console.error(
      `npm start: the release used ${formatDatabase(databaseUrl)} (DATABASE_URL; unset it to let npm start run PostgreSQL)`,
    )
  }
  return code
}

/** Reads `DATABASE_URL`; undefined if it is not set, and we run a PostgreSQL ourselves. */
function givenDatabase(env: NodeJS.ProcessEnv): DatabaseAddress | undefined {
  const { DATABASE_URL: given } = env
  return given === undefined || given === '' ? undefined : readDatabaseUrl(given)
}

/** @param directory of its data */
async function openDatabaseServer(guarding: Guard, directory: string): Promise<string> {
  const state = dirname(directory)
  await attempt(1, async () => {
    mkdirSync(state, { recursive: true })
    // Under root, PostgreSQL runs as the user `postgres`, who must be able to enter the directory.
    if (process.getuid?.() === 0) chmodSync(state, statSync(state).mode | 0o011)
  })
  if (!existsSync(join(directory, 'data')))
    say('database', `creating one under ${directory} (once, takes some seconds)`)
  return attempt(1, () => guarding.openPostgres(directory))
}

/**
 * Starts Punctual in a session of its own. Ctrl-C then only reaches this process, which passes it
 * on once: Punctual takes a second one for "stop now".
 */
function run(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): { readonly child: ChildProcess; readonly ended: Promise<number> } {
  const child = spawn(process.execPath, [PUNCTUAL, ...args], { cwd: ROOT, env, stdio: 'inherit', detached: true })
  const ended = new Promise<number>((done, failed) => {
    child.once('error', failed)
    child.once('exit', (code, signal) => done(codeOf(code, signal)))
  })
  return { child, ended }
}

/**
 * Runs Punctual to its end. Signals are passed on, and the guardian ends it if this process is
 * killed.
 */
async function runGuarded(
  guarding: Guard,
  command: 'release' | 'run',
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const { child, ended } = run([command, ...args], env)
  punctual = { command, child }
  if (child.pid !== undefined) guarding.watch(child.pid)
  try {
    return await ended
  } finally {
    punctual = undefined
    guarding.forget()
  }
}

// As in shells: 128 plus the signal number.
function codeOf(code: number | null, signal: NodeJS.Signals | null): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 129, SIGINT: 130, SIGKILL: 137, SIGTERM: 143 }
  return code ?? (signal === null ? 1 : (numbers[signal] ?? 1))
}

function passOn(signal: StartSignal): void {
  if (signal !== 'SIGHUP') stopAsked ??= signal
  // A release has nothing to reload, and would end on SIGHUP.
  else if (punctual?.command === 'release') return
  punctual?.child.kill(signal)
}

async function attempt<T>(exitCode: number, work: () => Promise<T>, context?: string): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const reason = error instanceof Error ? reasonOf(error) : String(error)
    throw new StartFailure(context === undefined ? reason : `${context}: ${reason}`, exitCode)
  }
}

// A refused connection to a host with several addresses has no message, but one reason per address.
function reasonOf(error: Error): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(String).join('; ')
  return formatError(error)
}

// A closed terminal or pipe (`npm start | head`) must not prevent an orderly stop.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
hearSignals(passOn)
let exitCode: number
try {
  exitCode = await start(process.argv.slice(2))
} catch (error) {
  console.error(
    `npm start: ${error instanceof StartFailure ? error.message : error instanceof Error ? error.stack : String(error)}`,
  )
  exitCode = error instanceof StartFailure ? error.exitCode : 1
}
for (const end of [outside?.close, guard?.stop]) {
  try {
    if (end !== undefined) await within(ms(90_000), 'the clean-up', end())
  } catch (error) {
    console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`)
  }
}
process.exit(exitCode)
