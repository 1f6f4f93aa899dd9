import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import { after, every } from '../resilience/clock.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import type { ArbiterControl, CommandOutcome } from './arbiter-control.ts'
import {
  type ControlAnswer,
  type ControlError,
  type ControlRequest,
  formatProgress,
  MAX_REQUEST_LENGTH,
  parseRequest,
} from './control-protocol.ts'

export interface ControlServerOptions {
  /** Maximum number of clients at a time; more are refused. Default: 32. */
  readonly clients?: number
  /** How long a client may send nothing while no command runs, or not read. Default: 30 s. */
  readonly idleTimeout?: Milliseconds
  readonly log?: Pick<Log, 'warn'>
}

export interface ControlServer {
  /** Stops listening, disconnects the clients and removes the socket. Never rejects. */
  close(): Promise<void>
}

/** Queued requests of one client. */
const MAX_QUEUE = 16
const PROGRESS_INTERVAL = ms(1_000)
/** Time for the last answers to be sent on close. */
const CLOSE_GRACE = ms(200)

/**
 * Starts the control socket. Only the user that runs the arbiter can open it (mode 0600 from the
 * moment it exists). The caller must hold the state directory's lock: an existing socket is then a
 * leftover and is removed. Throws `PUNCTUAL_STATE_DIR_UNWRITABLE` if it cannot listen.
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
      const message = `the arbiter already serves ${clients} control clients; try again later`
      socket.end(jsonLine(refusal(null, { code: 'PUNCTUAL_COMMAND_REFUSED', message })))
      return
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    serve(socket, control, idleTimeout)
  })
  try {
    await rm(path, { force: true })
    await listen(server, path)
  } catch (error) {
    throw new PunctualError(
      'PUNCTUAL_STATE_DIR_UNWRITABLE',
      `cannot open the control socket ${path} (${(error as Error).message}); make its directory writable or choose another --state-dir`,
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
        for (const socket of open) {
          socket.end()
          after(CLOSE_GRACE, () => socket.destroy())
        }
      }),
  }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    // `listen` creates the socket synchronously, so the mask applies to nothing else.
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

function serve(socket: Socket, control: ArbiterControl, idleTimeout: Milliseconds): void {
  const queue: ControlRequest[] = []
  let busy = false
  const send = (answer: ControlAnswer): void => {
    if (socket.writable) socket.write(jsonLine(answer))
  }
  const refuse = (id: number | null, message: string): void => {
    send(refusal(id, { code: 'PUNCTUAL_USAGE', message }))
    socket.end()
  }
  const work = async (): Promise<void> => {
    busy = true
    for (let request = queue.shift(); request !== undefined; request = queue.shift()) {
      send(await execute(request, control, send))
    }
    busy = false
  }
  const read = readJsonLines(
    (value) => {
      if (!socket.writable) return
      const request = parseRequest(value)
      if (typeof request === 'string') return refuse(idOf(value), request)
      if (queue.length >= MAX_QUEUE) return refuse(request.id, `more than ${MAX_QUEUE} requests are queued`)
      queue.push(request)
      if (!busy) void work()
    },
    (why) => refuse(null, why),
    MAX_REQUEST_LENGTH,
  )
  socket.setEncoding('utf8')
  socket.on('data', read)
  // A client that disconnects gets no answer; its command continues.
  socket.on('error', () => {})
  socket.setTimeout(idleTimeout, () => {
    if (!busy || socket.writableLength > 0) socket.destroy()
  })
}

/** Executes a command. Every command is answered, also one that throws. */
async function execute(
  request: ControlRequest,
  control: ArbiterControl,
  send: (answer: ControlAnswer) => void,
): Promise<ControlAnswer> {
  const { id } = request
  const stopProgress = every(PROGRESS_INTERVAL, () => send({ id, progress: progressOf(control) }))
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
    if (error instanceof PunctualError) return refusal(id, error)
    const message = error instanceof Error ? error.message : String(error)
    return refusal(id, { code: 'PUNCTUAL_COMMAND_REFUSED', message })
  } finally {
    stopProgress()
  }
}

function progressOf(control: ArbiterControl): string {
  try {
    return formatProgress(control.status())
  } catch {
    return ''
  }
}

function answerOf(id: number, outcome: CommandOutcome): ControlAnswer {
  return outcome.ok ? { id, ok: true, result: { message: outcome.message } } : refusal(id, outcome)
}

function refusal(id: number | null, { code, message, details }: ControlError): ControlAnswer {
  return { id, ok: false, error: { code, message, ...(details === undefined ? {} : { details }) } }
}

function idOf(value: unknown): number | null {
  const { id } = (typeof value === 'object' && value !== null ? value : {}) as { readonly id?: unknown }
  return typeof id === 'number' ? id : null
}
