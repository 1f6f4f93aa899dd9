/**
 * Replaces the handle of a listening server (`server._handle`) by a stand-in, and closes the real
 * one.
 *
 * Why: a draining worker must accept nothing more, but the server is still the app's: its SIGTERM
 * listener calls `server.close(callback)` and expects neither `ERR_SERVER_NOT_RUNNING` nor a
 * `close` event before. With the stand-in, `listening`, `address()` and `close` behave as on a
 * server that listens.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/stop-listening.test.ts
 */
import cluster from 'node:cluster'
import type { Server } from 'node:net'

/** The methods of a handle that `net.Server` uses. */
export interface Handle {
  close(callback?: () => void): void
  ref(): void
  unref(): void
  hasRef?(): boolean
  /** Fills in the address, and returns an error code; absent for a Unix socket. */
  getsockname?(out: object): number
}

type Internals = Server & { _handle: Handle | null }

/**
 * Gives a server that is about to listen a stand-in: it waits for its handle from the arbiter,
 * which it may not get any more. Under `node` it would have its handle since the call of `listen`.
 */
export function pretendToListen(server: Server): void {
  const internals = server as Internals
  internals._handle ??= standIn()
}

/**
 * Stops accepting connections, without the app noticing. Does nothing if the server does not listen
 * with the shared handle of `node:cluster`: a server that only this process has (on a port of its
 * own, which the app uses itself) must serve until the end.
 */
export function stopListening(server: Server): void {
  prepareToStop(server)()
}

/** The same in two steps: the returned function closes the socket without any delay. */
export function prepareToStop(server: Server): () => void {
  const internals = server as Internals
  const handle = internals._handle
  if (handle === null || handle === undefined || !isShared(handle)) return () => {}
  const { close } = Object.getPrototypeOf(handle) as Partial<Handle>
  // It has a stand-in already, from an earlier drain order.
  if (close === undefined) return () => {}
  const address: object = {}
  const code = handle.getsockname?.(address)
  const substitute =
    code === undefined ? standIn() : { ...standIn(), getsockname: (out: object) => copy(address, out, code) }
  return () => {
    if (internals._handle !== handle) return
    // Before the `close` of cluster, which sends a message first: connections would arrive.
    close.call(handle)
    internals._handle = substitute
    handle.close()
  }
}

/** A handle that does nothing. */
export function standIn(): Handle {
  return {
    close: (callback) => void (callback && process.nextTick(callback)),
    ref: () => {},
    unref: () => {},
    hasRef: () => false,
  }
}

function copy(address: object, out: object, code: number): number {
  Object.assign(out, address)
  return code
}

/** `node:cluster` replaces `close` on the handles that it shares. */
function isShared(handle: Handle): boolean {
  return !cluster.isWorker || Object.hasOwn(handle, 'close')
}
