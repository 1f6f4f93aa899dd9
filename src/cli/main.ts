import { Command, CommanderError } from 'commander'
import { EXIT, type ExitCode } from '../errors/codes.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { printable } from '../redaction/printable.ts'
import { redact } from '../redaction/redaction.ts'
import { configCommand } from './config-command.ts'
import { deferredCommand } from './deferred-command.ts'
import { explainCommand } from './explain-command.ts'
import { incidentsCommand } from './incidents-command.ts'
import { printError, printFailure } from './print.ts'
import { releaseCommand } from './release-command.ts'
import { reloadCommand } from './reload-command.ts'
import { restartWithoutPreloads } from './restart-without-preloads.ts'
import { readVersion, runCommand } from './run-command.ts'
import { scaleCommand } from './scale-command.ts'
import { setCommand, unsetCommand } from './set-command.ts'
import { statusCommand } from './status-command.ts'
import { stopCommand } from './stop-command.ts'

/** In the order in which the help lists them. */
const COMMANDS = [
  runCommand,
  configCommand,
  setCommand,
  unsetCommand,
  statusCommand,
  reloadCommand,
  releaseCommand,
  scaleCommand,
  stopCommand,
  incidentsCommand,
  explainCommand,
  deferredCommand,
]

/**
 * The `punctual` command. Exits the process on an error, so that nothing left open keeps it. Prints
 * an error of Punctual with its code, or as JSON with `--json`; any other error with its stack, and
 * exits with 1.
 */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv[2] === 'run') restartWithoutPreloads(argv)
  // The reader of a pipe may exit early (`punctual config | head`).
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreBrokenPipe)
  try {
    await createProgram().parseAsync(argv)
  } catch (error) {
    process.exit(printAnyError(error, argv))
  }
}

function createProgram(): Command {
  const program = new Command('punctual')
    .description(
      'Runs a Node.js web app so that every request is answered on time and no worker dies without a reason.',
    )
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .usage('<command> [flags]')
    .addHelpText('after', '\nStart with: punctual run server.js\n')
    .exitOverride()
    .configureHelp({ sortOptions: false, showGlobalOptions: false })
    .configureOutput({ outputError: (text, write) => write(inOneLine(text)) })
  for (const create of COMMANDS) {
    const command = create().copyInheritedSettings(program)
    for (const subcommand of command.commands) subcommand.copyInheritedSettings(command)
    program.addCommand(command)
  }
  return program
}

/** Commander prints its suggestion on a separate line. */
function inOneLine(text: string): string {
  const [message = '', ...rest] = text
    .trim()
    .replace(/^error: /, '')
    .split('\n')
  return `${printable(redact(`punctual: ${[message, ...rest].join(' ')} (PUNCTUAL_USAGE)`))}\n`
}

/** Prints the error, unless commander has done so; returns the exit code. */
function printAnyError(error: unknown, argv: readonly string[]): ExitCode {
  // Commander also throws for `--help` and `--version`, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.stopped : EXIT.usage
  if (error instanceof PunctualError) {
    printError(error, wantsJson(argv))
    return error.exitCode
  }
  const denied = deniedBy(error)
  if (denied !== null) {
    printError(denied, wantsJson(argv))
    return denied.exitCode
  }
  printFailure(error)
  return EXIT.failed
}

const FLAGS: Readonly<Record<string, string>> = {
  FileSystemRead: '--allow-fs-read',
  FileSystemWrite: '--allow-fs-write',
  ChildProcess: '--allow-child-process',
  WorkerThreads: '--allow-worker',
  Net: '--allow-net',
}

/** What `node --permission` has denied, as an error of Punctual; null for any other error. */
function deniedBy(error: unknown): PunctualError | null {
  const { code, permission, resource } = (error ?? {}) as Readonly<Record<string, unknown>>
  if (code !== 'ERR_ACCESS_DENIED' || typeof permission !== 'string') return null
  const flag = FLAGS[permission] ?? permission
  const missing = typeof resource === 'string' && resource !== '' && flag.includes('fs') ? `${flag}=${resource}` : flag
  return new PunctualError('PUNCTUAL_PERMISSION_MISSING', `under node --permission, add ${missing}`, {
    cause: error,
    details: { missing: [missing] },
  })
}

/** Arguments after `--` belong to the app. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json')
}

function ignoreBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}
