/**
 * Gives a server that waits for its handle from the arbiter a stand-in (`server._handle`).
 *
 * Why: under `node` a server without a host has its handle when `listen` returns. Apps rely on it:
 * they read `server.address().port` in the next statement, or close the server.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/listening.test.ts
 */
import type { Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { SocketAddress } from './socket-addresses.ts'
import { standIn } from './stop-listening.ts'

type Internals = Server & { _handle: object | null; _listen2?: unknown }

export interface ExpectedHandle {
  /** Whether the app has closed the server since. */
  readonly closed: boolean
  /** Runs the callback of `listen` without any effect on the server. */
  discard(callback: () => void): void
}

/** Until the handle is there, `listening`, `address` and `close` behave as if it were. */
export function expectHandle(server: Server, address: SocketAddress): ExpectedHandle {
  const internals = server as Internals
  let closed = false
  const stand = {
    ...standIn(),
    // The mode of a Unix socket is set on the handle.
    ...(address.port === -1 ? { fchmod: () => 0 } : { getsockname: (out: object) => describe(address, out) }),
    close: () => {
      closed = true
    },
  }
  // A free port is known only with the handle.
  if (address.port !== 0) internals._handle ??= stand
  return {
    get closed(): boolean {
      return closed
    },
    discard(callback) {
      const current = internals._handle
      internals._handle = null
      internals._listen2 = () => {}
      callback()
      delete internals._listen2
      internals._handle = current
    },
  }
}

function describe({ address, port }: SocketAddress, out: object): number {
  const host = address ?? (hasIPv6() ? '::' : '0.0.0.0')
  Object.assign(out, { address: host, family: host.includes(':') ? 'IPv6' : 'IPv4', port })
  return 0
}

function hasIPv6(): boolean {
  return Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'))
}
