import net from 'node:net'
import { jsonLine, readJsonLines } from '../ipc/json-lines.ts'
import type { FromWatchdog, ToWorker } from '../ipc/messages.ts'

/**
 * The watchdog's own way to the arbiter: a socket that needs nothing of the main thread. When it ends, the arbiter has died.
 * A message is in the kernel when `send` returns (libuv writes at once what fits), so a SIGKILL right behind it loses nothing.
 */
export class ArbiterLink {
  readonly #socket: net.Socket | null

  constructor(descriptor: number, onMessage: (message: ToWorker) => void, onOrphaned: () => void) {
    if (descriptor < 0) {
      this.#socket = null
      return
    }
    const socket = new net.Socket({ fd: descriptor, readable: true, writable: true })
    socket.on(
      'data',
      readJsonLines(
        (message) => onMessage(message as ToWorker),
        () => {},
      ),
    )
    socket.on('error', () => {})
    socket.on('close', onOrphaned)
    this.#socket = socket
  }

  send(message: FromWatchdog): void {
    this.#socket?.write(jsonLine(message))
  }
}
