import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ms } from '../../../src/resilience/duration.ts'
import { AppError } from '../app-error.ts'
import type { FromGuardian, ToGuardian } from './messages.ts'
import { within } from './wait-until.ts'

/** The guardian, as the process that it works for sees it. */
export interface Guard {
  readonly pid: number
  /** Starts PostgreSQL in `directory`; resolves with its connection string. */
  openPostgres(directory: string, options?: { readonly ephemeral?: boolean }): Promise<string>
  /** From now on this process is drained, then killed, if we are killed. */
  watch(pid: number): void
  forget(): void
  /** Stops PostgreSQL and the guardian. Safe to call twice. */
  stop(): Promise<void>
}

export interface GuardEvents {
  /** Called when it waits for something that a person may want to know. */
  readonly waiting: (why: string) => void
  /** Called when PostgreSQL or the guardian exits unexpectedly. */
  readonly lost: (what: string) => void
}

const QUIET: GuardEvents = { waiting: () => {}, lost: () => {} }

function errorOf({ message, code, details }: Extract<FromGuardian, { type: 'failed' }>): Error {
  return code === undefined ? new Error(message) : new AppError(code, message, details)
}

/**
 * Starts the guardian process. It exits when this process does, for any reason, and cleans up
 * first.
 */
export async function startGuard(events: GuardEvents = QUIET): Promise<Guard> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('guardian.ts', import.meta.url))], {
    // In a session of its own: signals of a terminal must not reach PostgreSQL.
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  let stopping = false
  let answered: { readonly resolve: (url: string) => void; readonly reject: (error: Error) => void } | undefined

  const send = (message: ToGuardian): void => {
    if (child.connected) child.send(message, () => {})
  }
  const up = new Promise<void>((resolve, reject) => {
    child.on('message', (message: FromGuardian) => {
      if (message.type === 'up') resolve()
      else if (message.type === 'waiting') events.waiting(message.why)
      else if (message.type === 'postgres') answered?.resolve(message.url)
      else if (message.type === 'failed') answered?.reject(errorOf(message))
      else if (!stopping) events.lost('PostgreSQL')
    })
    void gone.then(() => {
      const error = new Error('the guardian process exited unexpectedly')
      reject(error)
      answered?.reject(error)
      if (!stopping) events.lost('the guardian process')
    })
  })
  await within(ms(30_000), 'the start of the guardian process', up)

  return {
    pid: child.pid ?? 0,
    openPostgres: (directory, options = {}) =>
      new Promise((resolve, reject) => {
        answered = { resolve, reject }
        send({ type: 'open-postgres', directory, ephemeral: options.ephemeral === true })
      }),
    watch: (pid) => send({ type: 'watch', pid }),
    forget: () => send({ type: 'forget' }),
    stop: async () => {
      stopping = true
      send({ type: 'stop' })
      await within(ms(60_000), 'the end of the guardian process', gone)
    },
  }
}
