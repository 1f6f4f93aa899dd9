import { AsyncResource } from 'node:async_hooks'
import { Socket } from 'node:net'

/** Made while no request runs. */
const outside = new AsyncResource('punctual.idle')
const start = Socket.prototype.setTimeout

/**
 * Keeps the idle timer of a connection from holding on to the request that was served last. Node starts that timer while the request
 * ends, and a timer remembers what it was started in: with many connections at rest that is as many requests, with their responses, kept for
 * seconds. Memory that outlives its use for so little makes V8 enlarge its young generation, by tens of megabytes.
 */
export function forgetRequests(socket: Socket): void {
  socket.setTimeout = startOutside
}

function startOutside(this: Socket, limit: number, onTimeout?: () => void): Socket {
  // With a callback it is the app's own, and what it starts may need to know its request.
  return onTimeout === undefined ? outside.runInAsyncScope(start, this, limit) : start.call(this, limit, onTimeout)
}
