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
  /**
   * Maximum number of clients at a time; one more closes the longest silent without a command, or
   * is refused if all have one. Default: 64.
   */
  readonly clients?: number
  /** How long a client may send nothing while no command runs, or not read. Default: 30 s. */
  readonly idleTimeout?: Milliseconds
  readonly log?: Pick<Log, 'warn'>
}

export interface ControlServer {
  /** Stops listening, disconnects the clients and removes the socket. Never rejects. */
  close(): Promise<void>
}

/** Commands that may run at a time; those of clients that have disconnected count too. */
const MAX_RUNNING = 64
/** Queued requests of one client. */
const MAX_QUEUE = 16
const PROGRESS_INTERVAL = ms(1_000)
/** Time for the last answers to be sent on close. */
const CLOSE_GRACE = ms(200)
/** Time for a client that was refused to read why. */
const REFUSED_GRACE = ms(1_000)

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
  const { clients = 64, idleTimeout = ms(30_000), log } = options
  /** The longest silent first: a `Set` keeps the order of insertion. */
  const open = new Set<Client>()
  const running = { count: 0 }
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (open.size >= clients) {
      const silent = [...open].find((client) => !client.isBusy())
      if (silent === undefined) {
        const message = `the arbiter already serves ${clients} control clients; try again later`
        return endWith(socket, refusal(null, { code: 'PUNCTUAL_COMMAND_REFUSED', message }))
      }
      open.delete(silent)
      silent.socket.destroy()
    }
    const client = serve(socket, control, idleTimeout, running, () => {
      if (open.delete(client)) open.add(client)
    })
    open.add(client)
    socket.once('close', () => open.delete(client))
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
        for (const { socket } of open) {
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

/** Sends a last answer; what the client still sends is dropped. */
function endWith(socket: Socket, last: ControlAnswer): void {
  socket.removeAllListeners('data')
  socket.resume()
  socket.end(jsonLine(last))
  const cancel = after(REFUSED_GRACE, () => socket.destroy())
  socket.once('close', cancel)
}

interface Client {
  readonly socket: Socket
  /** Whether it waits for a command. */
  isBusy(): boolean
}

/**
 * Serves a client: its commands one after the other, and the next one only when it has read the
 * answer to the one before.
 *
 * @param onCommand is called when it sends a command
 */
function serve(
  socket: Socket,
  control: ArbiterControl,
  idleTimeout: Milliseconds,
  running: { count: number },
  onCommand: () => void,
): Client {
  const queue: ControlRequest[] = []
  let busy = false
  const send = (answer: ControlAnswer): void => {
    if (socket.writable) socket.write(jsonLine(answer))
  }
  const sendProgress = (answer: ControlAnswer): void => {
    if (socket.writableLength === 0) send(answer)
  }
  const refuse = (id: number | null, message: string): void => {
    if (socket.writable) endWith(socket, refusal(id, { code: 'PUNCTUAL_USAGE', message }))
  }
  const run = async (request: ControlRequest): Promise<ControlAnswer> => {
    if (running.count >= MAX_RUNNING) {
      const message = `${running.count} commands are running; try again later`
      return refusal(request.id, { code: 'PUNCTUAL_COMMAND_REFUSED', message })
    }
    running.count += 1
    try {
      return await execute(request, control, sendProgress)
    } finally {
      running.count -= 1
    }
  }
  const work = async (): Promise<void> => {
    busy = true
    for (let request = queue.shift(); request !== undefined && socket.writable; request = queue.shift()) {
      send(await run(request))
      if (socket.writableLength > 0) await drained(socket)
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
      onCommand()
      if (!busy) void work()
    },
    (why) => refuse(null, why),
    MAX_REQUEST_LENGTH,
  )
  socket.setEncoding('utf8')
  socket.on('data', read)
  // A client that disconnects gets no answer; its command continues.
  socket.setTimeout(idleTimeout, () => {
    if (!busy || socket.writableLength > 0) socket.destroy()
  })
  return { socket, isBusy: () => busy && socket.writableLength === 0 }
}

/** Resolves when the kernel has taken everything, or the socket is closed. */
async function drained(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    if (socket.destroyed) return resolve()
    const done = (): void => {
      socket.off('close', done)
      resolve()
    }
    socket.once('close', done)
    socket.write('', done)
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
