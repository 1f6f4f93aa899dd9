import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import { after, every } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { ArbiterControl, CommandOutcome } from './arbiter-control.ts'
import { tellProgress } from './control-progress.ts'
import {
  type ControlAnswer,
  type ControlError,
  type ControlRequest,
  LONGEST_REQUEST,
  parseRequest,
} from './control-protocol.ts'

export interface ControlServerOptions {
  /** Clients at once; more are refused. Default: 32. */
  readonly clients?: number
  /** How long a client may be silent while nothing is done for it, or leave its answer unread. Default: 30 s. */
  readonly idleTimeout?: Milliseconds
  readonly log?: Pick<Log, 'warn'>
}

export interface ControlServer {
  /** Stops listening, ends the clients, removes the socket. Never rejects. */
  close(): Promise<void>
}

/** Requests of one client that wait for their turn. */
const LONGEST_QUEUE = 16
const SIGN_OF_LIFE = ms(1_000)

/**
 * The control socket: only the user that runs the arbiter can open it (mode 0600 from the moment it exists). Take the state directory's
 * lock first: what lies in the socket's place is then a leftover and is removed.
 */
export async function startControlServer(
  path: string,
  control: ArbiterControl,
  options: ControlServerOptions = {},
): Promise<ControlServer> {
  const { clients = 32, idleTimeout = ms(30_000), log } = options
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    if (open.size >= clients) {
      socket.on('error', () => {})
      socket.end(jsonLine(refusal(null, 'PUNCTUAL_COMMAND_REFUSED', `the arbiter talks to ${clients} clients already`)))
      return
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    converse(socket, control, idleTimeout)
  })
  try {
    await rm(path, { force: true })
    await listen(server, path)
  } catch (error) {
    throw new PunctualError(
      'PUNCTUAL_STATE_DIR_UNWRITABLE',
      `the control socket ${path} cannot be opened (${(error as Error).message}); make its directory writable or choose another --state-dir`,
      { cause: error },
    )
  }
  server.on('error', (error) =>
    log?.warn(
      { event: 'control-server-failed', error },
      'the control socket failed; punctual status, reload and stop may not work',
    ),
  )
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        // What was answered last is still on its way: give it a moment.
        for (const socket of open) {
          socket.end()
          after(ms(200), () => socket.destroy())
        }
      }),
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // The socket is made within `listen`, so the mask holds for it and for nothing else.
    const mask = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      process.umask(mask)
    }
  })
}

function converse(socket: Socket, control: ArbiterControl, idleTimeout: Milliseconds): void {
  const queue: ControlRequest[] = []
  let busy = false
  const say = (answer: ControlAnswer): void => {
    if (socket.writable) socket.write(jsonLine(answer))
  }
  const malformed = (id: number | null, why: string): void => {
    say(refusal(id, 'PUNCTUAL_USAGE', why))
    // Whoever speaks another language is not worth guessing at.
    socket.end()
  }
  const work = async (): Promise<void> => {
    busy = true
    for (let request = queue.shift(); request !== undefined; request = queue.shift()) {
      say(await carryOut(request, control, say))
    }
    busy = false
  }
  const read = readJsonLines(
    (value) => {
      if (!socket.writable) return
      const request = parseRequest(value)
      if (typeof request === 'string') return malformed(idOf(value), request)
      if (queue.length >= LONGEST_QUEUE) return malformed(request.id, 'too many requests at once')
      queue.push(request)
      if (!busy) void work()
    },
    (why) => malformed(null, why),
    LONGEST_REQUEST,
  )
  socket.setEncoding('utf8')
  socket.on('data', read)
  // A client that goes away loses its answer; what it asked for goes on.
  socket.on('error', () => {})
  socket.setTimeout(idleTimeout, () => {
    if (!busy || socket.writableLength > 0) socket.destroy()
  })
}

/** Every command has an answer, also one that throws. */
async function carryOut(
  request: ControlRequest,
  control: ArbiterControl,
  say: (answer: ControlAnswer) => void,
): Promise<ControlAnswer> {
  const { id } = request
  const stopTelling = every(SIGN_OF_LIFE, () => say({ id, progress: progressOf(control) }))
  try {
    switch (request.command) {
      case 'status':
        return { id, ok: true, result: control.status() }
      case 'incidents':
        return { id, ok: true, result: await control.incidents() }
      case 'incident':
        return { id, ok: true, result: (await control.incident(request.incident)) ?? null }
      case 'reload':
        return answerOf(id, await control.reload())
      case 'scale':
        return answerOf(id, await control.scale(request.change))
      case 'settings':
        return { id, ok: true, result: control.settings.inForce() }
      case 'set':
        return { id, ok: true, result: await control.settings.set(request.values, request.force) }
      case 'unset':
        return { id, ok: true, result: await control.settings.unset(request.names) }
      case 'stop':
        return answerOf(id, await control.stop())
    }
  } catch (error) {
    if (error instanceof PunctualError) return refusal(id, error.code, error.message, error.details)
    return refusal(id, 'PUNCTUAL_COMMAND_REFUSED', error instanceof Error ? error.message : String(error))
  } finally {
    stopTelling()
  }
}

function progressOf(control: ArbiterControl): string {
  try {
    return tellProgress(control.status())
  } catch {
    return ''
  }
}

function answerOf(id: number, outcome: CommandOutcome): ControlAnswer {
  if (outcome.ok) return { id, ok: true, result: { message: outcome.message } }
  return refusal(id, outcome.code, outcome.message, outcome.details)
}

function refusal(id: number | null, code: string, message: string, details?: ControlError['details']): ControlAnswer {
  return { id, ok: false, error: { code, message, ...(details === undefined ? {} : { details }) } }
}

function idOf(value: unknown): number | null {
  const { id } = (typeof value === 'object' && value !== null ? value : {}) as { readonly id?: unknown }
  return typeof id === 'number' ? id : null
}
