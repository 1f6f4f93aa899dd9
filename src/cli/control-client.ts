import { connect, type Socket } from 'node:net'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type {
  ControlAnswer,
  ControlAsk,
  ControlCommand,
  ControlError,
  ControlResults,
} from '../arbiter/control-protocol.ts'
import { controlSocketPath } from '../arbiter/state-directory.ts'
import { CODES, type ErrorCode } from '../errors/codes.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import { after, type Cancel, monotonicNow } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms, parseDuration } from '../resilience/duration.ts'
import { loadConfigFile } from '../settings/config-file.ts'
import { SettingsError } from '../settings/settings-error.ts'
import { defaultStateDirectory, workingDirectory } from '../system/working-directory.ts'

/** Adds the flag that selects the arbiter a command is for. */
export function addStateDirFlag(command: Command): Command {
  return command.option(
    '--state-dir <path>',
    'State directory of the arbiter. [PUNCTUAL_STATE_DIR, else the config file, else .punctual]',
  )
}

/**
 * The state directory a command is for, found as by `punctual run`: flag, environment, config file,
 * default. A config file that cannot be loaded is ignored, so that a running app can be stopped.
 *
 * @throws SettingsError (rejects) for a config file that another user may have written
 */
export async function readStateDir(options: { readonly stateDir?: string }): Promise<string> {
  const named = options.stateDir ?? process.env.PUNCTUAL_STATE_DIR
  const cwd = workingDirectory()
  if (named !== undefined && named !== '') return resolve(cwd, named)
  const file = await loadConfigFile({ cwd, ownOnly: true }).catch((error: unknown) => {
    if (error instanceof SettingsError && error.details.faults.some(({ kind }) => kind === 'file-foreign')) throw error
    return undefined
  })
  const written = file?.values.stateDir
  return typeof written === 'string' && written !== '' ? resolve(cwd, written) : defaultStateDirectory(cwd)
}

/** `--timeout`: how long the command itself waits. */
export function timeoutFlag(description: string, standard: string): Option {
  return new Option('--timeout <duration>', description)
    .default(parseDuration(standard), standard)
    .argParser((text): Milliseconds => {
      const parsed = parseDuration(text)
      if (parsed === undefined) throw new InvalidArgumentError('Use a duration: 250ms, 30s, 10m or unbounded.')
      return parsed
    })
}

/** An answer is cut off beyond this, with all progress before it. In characters. */
const MAX_ANSWER = 32 * 1024 * 1024
/** An arbiter sends its progress every second; so many messages more are accepted. */
const MAX_PROGRESS = 100
const MAX_PROGRESS_RATE = 10
const MAX_PROGRESS_LENGTH = 1_000

export interface AskOptions {
  /** Maximum time without a message; an arbiter sends one every second. Default: 10 s. */
  readonly silenceTimeout?: Milliseconds
  /** Maximum time until the answer. Default: 1 min. */
  readonly timeout?: Milliseconds
  /** Called when the progress of the command changes. */
  readonly onProgress?: (progress: string) => void
}

/**
 * Sends a command to the arbiter that runs on a state directory.
 *
 * @throws PunctualError (rejects) with `PUNCTUAL_ARBITER_NOT_RUNNING`,
 * `PUNCTUAL_COMMAND_TIMED_OUT`, or the code with which the arbiter refuses it
 */
export function askArbiter<C extends ControlCommand>(
  stateDir: string,
  ask: ControlAsk & { readonly command: C },
  options: AskOptions = {},
): Promise<ControlResults[C]> {
  const { silenceTimeout = ms(10_000), timeout = ms(60_000), onProgress = () => {} } = options
  const path = controlSocketPath(stateDir)
  return new Promise((resolvePromise, reject) => {
    const socket = connect(path)
    const startedAt = monotonicNow()
    let lastProgress = ''
    let received = 0
    let progressCount = 0
    const fail = (error: Error): void => {
      // What is still in the chunk is not read.
      received = Number.POSITIVE_INFINITY
      finish(socket, cancels)
      reject(error)
    }
    const cancels: Cancel[] = [
      after(timeout, () => fail(timedOut('unfinished', ask.command, timeout, `did not finish "${ask.command}"`))),
      after(silenceTimeout, onSilence),
    ]
    function onSilence(): void {
      const what = 'does not answer; it may be stopped (SIGSTOP) or swapped out'
      fail(timedOut('silent', ask.command, silenceTimeout, what))
    }
    const restartSilenceTimer = (): void => {
      cancels.pop()?.()
      cancels.push(after(silenceTimeout, onSilence))
    }
    const read = readJsonLines(
      (value) => {
        restartSilenceTimer()
        if (!isAnswer(value)) {
          fail(invalidAnswer(stateDir, JSON.stringify(value).slice(0, 100)))
        } else if ('progress' in value) {
          progressCount++
          const seconds = (monotonicNow() - startedAt) / 1_000
          if (progressCount > MAX_PROGRESS + seconds * MAX_PROGRESS_RATE) {
            return fail(invalidAnswer(stateDir, 'progress without end'))
          }
          const progress = value.progress.slice(0, MAX_PROGRESS_LENGTH)
          if (progress !== lastProgress && progress !== '') onProgress(progress)
          lastProgress = progress
        } else if (value.ok) {
          finish(socket, cancels)
          resolvePromise(value.result as ControlResults[C])
        } else {
          fail(refused(value.error))
        }
      },
      (reason) => fail(invalidAnswer(stateDir, reason)),
      MAX_ANSWER,
    )
    socket.setEncoding('utf8')
    socket.once('connect', () => socket.write(jsonLine({ id: 1, ...ask })))
    socket.on('data', (chunk: string) => {
      received += chunk.length
      if (received > MAX_ANSWER) fail(invalidAnswer(stateDir, 'an answer without end'))
      else read(chunk)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => fail(unreachable(stateDir, error)))
    socket.once('close', () => {
      fail(
        new PunctualError(
          'PUNCTUAL_ARBITER_NOT_RUNNING',
          `the arbiter on ${stateDir} exited before it answered "${ask.command}"; see its log`,
          { details: { stateDir, reason: 'ended' } },
        ),
      )
    })
  })
}

function finish(socket: Socket, cancels: readonly Cancel[]): void {
  for (const cancel of cancels) cancel()
  socket.removeAllListeners('close')
  socket.destroy()
}

function unreachable(stateDir: string, error: NodeJS.ErrnoException): PunctualError {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED' || error.code === 'ENOTDIR') {
    return new PunctualError(
      'PUNCTUAL_ARBITER_NOT_RUNNING',
      `no arbiter is running on ${stateDir}; start one with punctual run, or select its state directory with --state-dir`,
      { cause: error, details: { stateDir, reason: 'none' } },
    )
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new PunctualError(
      'PUNCTUAL_COMMAND_REFUSED',
      `the arbiter on ${stateDir} belongs to another user; run this command as the user that started it`,
      { cause: error, details: { stateDir, reason: 'other-user' } },
    )
  }
  return new PunctualError(
    'PUNCTUAL_ARBITER_NOT_RUNNING',
    `cannot connect to the arbiter on ${stateDir}: ${error.message}`,
    { cause: error, details: { stateDir, reason: 'unreachable' } },
  )
}

function isAnswer(value: unknown): value is ControlAnswer {
  if (typeof value !== 'object' || value === null) return false
  const { progress, ok, error } = value as Readonly<Record<string, unknown>>
  return typeof progress === 'string' || ok === true || (ok === false && typeof error === 'object' && error !== null)
}

function invalidAnswer(stateDir: string, what: string): PunctualError {
  return new PunctualError(
    'PUNCTUAL_COMMAND_REFUSED',
    `the process that listens on ${stateDir} sent an invalid answer (${what}); is it another version of Punctual?`,
    { details: { stateDir, reason: 'not-an-arbiter' } },
  )
}

function timedOut(
  reason: 'silent' | 'unfinished',
  command: string,
  timeout: Milliseconds,
  what: string,
): PunctualError {
  return new PunctualError(
    'PUNCTUAL_COMMAND_TIMED_OUT',
    `the arbiter ${what} (waited ${formatElapsed(timeout)} for "${command}"); see its log`,
    { details: { command, reason, waitedMs: timeout } },
  )
}

function refused({ code, message, details }: ControlError): PunctualError {
  const known = Object.hasOwn(CODES, code) ? (code as ErrorCode) : 'PUNCTUAL_COMMAND_REFUSED'
  return new PunctualError(known, message, details === undefined ? {} : { details })
}
