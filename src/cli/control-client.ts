import { connect, type Socket } from 'node:net'
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
import { after, type Cancel } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'

export interface AskOptions {
  /** Longest silence. A living arbiter gives a sign of life every second. Default: 10 s. */
  readonly silenceTimeout?: Milliseconds
  /** Longest wait for the answer in all. Default: 1 min. */
  readonly limit?: Milliseconds
  /** Called when the command has come further. */
  readonly onProgress?: (progress: string) => void
}

/**
 * Asks the arbiter that runs on a state directory. Rejects with `PUNCTUAL_ARBITER_NOT_RUNNING`, `PUNCTUAL_COMMAND_TIMED_OUT`
 * (it is frozen, or takes longer than the limit), or the code of its refusal.
 */
export function askArbiter<C extends ControlCommand>(
  stateDir: string,
  ask: ControlAsk & { readonly command: C },
  options: AskOptions = {},
): Promise<ControlResults[C]> {
  const { silenceTimeout = ms(10_000), limit = ms(60_000), onProgress = () => {} } = options
  const path = controlSocketPath(stateDir)
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    let told = ''
    const end = (error: Error): void => {
      finish(socket, cancels)
      reject(error)
    }
    const cancels: Cancel[] = [
      after(limit, () => end(timedOut('unfinished', ask.command, limit, `has not finished "${ask.command}"`))),
      after(silenceTimeout, silent),
    ]
    function silent(): void {
      end(
        timedOut(
          'silent',
          ask.command,
          silenceTimeout,
          'does not answer at all; it may be stopped (SIGSTOP) or swapped out',
        ),
      )
    }
    const heard = (): void => {
      cancels.pop()?.()
      cancels.push(after(silenceTimeout, silent))
    }
    const read = readJsonLines(
      (value) => {
        heard()
        if (!isAnswer(value)) {
          end(nonsense(stateDir, JSON.stringify(value).slice(0, 100)))
        } else if ('progress' in value) {
          if (value.progress !== told && value.progress !== '') onProgress(value.progress)
          told = value.progress
        } else if (value.ok) {
          finish(socket, cancels)
          resolve(value.result as ControlResults[C])
        } else {
          end(refused(value.error))
        }
      },
      (why) => end(nonsense(stateDir, why)),
      64 * 1024 * 1024,
    )
    socket.setEncoding('utf8')
    socket.once('connect', () => socket.write(jsonLine({ id: 1, ...ask })))
    socket.on('data', read)
    socket.on('error', (error: NodeJS.ErrnoException) => end(unreachable(stateDir, error)))
    socket.once('close', () => {
      end(
        new PunctualError(
          'PUNCTUAL_ARBITER_NOT_RUNNING',
          `the arbiter on ${stateDir} ended before it answered "${ask.command}"; see its log`,
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
      `no arbiter is running on ${stateDir}; start one with punctual run, or name its state directory with --state-dir`,
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
    `the arbiter on ${stateDir} cannot be reached: ${error.message}`,
    { cause: error, details: { stateDir, reason: 'unreachable' } },
  )
}

function isAnswer(value: unknown): value is ControlAnswer {
  if (typeof value !== 'object' || value === null) return false
  const { progress, ok, error } = value as Readonly<Record<string, unknown>>
  return typeof progress === 'string' || ok === true || (ok === false && typeof error === 'object' && error !== null)
}

function nonsense(stateDir: string, what: string): PunctualError {
  return new PunctualError(
    'PUNCTUAL_COMMAND_REFUSED',
    `what listens on ${stateDir} answered with something else (${what}); is it another version of Punctual?`,
    { details: { stateDir, reason: 'not-an-arbiter' } },
  )
}

function timedOut(reason: 'silent' | 'unfinished', command: string, limit: Milliseconds, what: string): PunctualError {
  return new PunctualError(
    'PUNCTUAL_COMMAND_TIMED_OUT',
    `the arbiter ${what} (waited ${formatElapsed(limit)} for "${command}"); look at its log`,
    { details: { command, reason, waitedMs: limit } },
  )
}

function refused({ code, message, details }: ControlError): PunctualError {
  const known = Object.hasOwn(CODES, code) ? (code as ErrorCode) : 'PUNCTUAL_COMMAND_REFUSED'
  return new PunctualError(known, message, details === undefined ? {} : { details })
}
