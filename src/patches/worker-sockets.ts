/**
 * Patches of `cluster._getServer`, `net.Server.prototype.listen` and `dgram.Socket.prototype.bind`,
 * in workers.
 *
 * Why: to an app, its worker is the only process. `node:cluster` differs from that: it gives every
 * worker the same "free" port, lets only one worker have an `exclusive` port, ignores the mode of a
 * Unix socket, reports errors of `bind` in place of those of `listen`, gives two servers of one
 * worker addresses that exclude each other, and lets a server wait for its handle, without an
 * address, where `listen` has it at once under `node`.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/listening.test.ts
 */
import cluster from 'node:cluster'
import dgram from 'node:dgram'
import net from 'node:net'
import { constants } from 'node:os'
import { type ExpectedHandle, expectHandle } from './expected-handle.ts'
import { defineMethod } from './patch-function.ts'
import { type ModeOptions, overlap, replaceStaleSocket, type SocketAddress, setMode } from './socket-addresses.ts'
import { keepSocketFile, releaseSocketFile } from './socket-removal.ts'

interface Handle {
  close(callback?: () => void): void
  listen?(backlog: number): number
}

/** The query of a socket to the arbiter; `port` is -1 for a Unix socket. */
interface Query {
  readonly address: string | null
  readonly port: number | null | undefined
  readonly addressType: number | string | null
  readonly fd?: number | null
  readonly flags?: number
}
type OnHandle = (error: number, handle: Handle | null) => void
type GetServer = (owner: object, query: Query, callback: OnHandle) => void
type Listen = (this: net.Server, ...args: unknown[]) => net.Server
type Bind = (this: dgram.Socket, ...args: unknown[]) => dgram.Socket

export interface WorkerSocketsListener {
  /** Unix sockets on which other workers listen. */
  readonly socketFiles: readonly string[]
  /** Whether a port that the system chooses is the same in all workers (with `--port 0`). */
  readonly sharesFreePorts: boolean
  /** `exclusive` or `reusePort` was asked for; all workers share that socket nevertheless. */
  readonly onShared: (option: 'exclusive' | 'reusePort', address: string) => void
  /** Calls back when connections may be accepted; null if they may be at once. */
  readonly gate: ((open: () => void) => void) | null
  /** Whether a server that listens makes room for one that wants the same address. */
  readonly yields: (server: object) => boolean
  /**
   * A server stops listening. Returns whether the arbiter should close the socket at once, if this
   * worker was the last one that used it.
   */
  readonly releases: () => boolean
  /** Tells the arbiter, before the server stops listening. */
  readonly onReleased: (address: string | null, port: number) => void
}

const EADDRINUSE = -constants.errno.EADDRINUSE
const NO_HANDLE: Handle = { close: (callback) => callback?.() }

/** Options of Unix sockets that are about to listen. */
const modes = new WeakMap<object, ModeOptions>()
/** A server of this worker with a shared socket, or one that has asked the arbiter for it. */
interface Listening {
  readonly address: SocketAddress
  readonly server: object
  /** Called when the arbiter has answered; null after that. */
  waiting: (() => void)[] | null
  readonly expected: ExpectedHandle
}

const inUse = new Set<Listening>()

/** Called once, before the app is loaded. */
export function patchWorkerSockets(listener: WorkerSocketsListener): void {
  patchListen(listener)
  patchBind(listener)
  for (const path of listener.socketFiles) keepSocketFile(path)
  const internal = cluster as unknown as { _getServer?: GetServer }
  const query = internal._getServer
  if (typeof query !== 'function') return
  const getTcp = (server: object, options: Query, expected: ExpectedHandle, callback: OnHandle): void => {
    const address = addressOf(options)
    for (const one of inUse) {
      if (!overlap(one.address, address)) continue
      const { waiting } = one
      const isGivenUp = waiting !== null && one.expected.closed
      const mayWait = isGivenUp || one.server === server || listener.yields(one.server)
      if (!mayWait || (waiting === null && one.server === server)) {
        return process.nextTick(answer, server, expected, EADDRINUSE, null, callback)
      }
      if (waiting !== null) return void waiting.push(() => getTcp(server, options, expected, callback))
      net.Server.prototype.close.call(one.server as net.Server)
    }
    const one: Listening = { address, server, waiting: [], expected }
    inUse.add(one)
    const onAnswer: OnHandle = (error, handle) => {
      const { waiting } = one
      one.waiting = null
      if (handle !== null && error === 0) {
        track(handle, one, listener)
        if (isUnix(one.address)) keepSocketFile(one.address.address)
        if (listener.gate !== null) postponeAccepting(handle, one, listener.gate)
      } else {
        inUse.delete(one)
      }
      answer(server, expected, error, handle, callback)
      for (const next of waiting ?? []) next()
    }
    if (isUnix(address)) getUnix(query, server, options, address.address, onAnswer)
    else query.call(cluster, server, options, onAnswer)
  }
  internal._getServer = (owner, options, callback) => {
    const isUdp = typeof options.addressType === 'string'
    if (isUdp || typeof options.fd === 'number') return query.call(cluster, owner, options, guard(callback))
    // Without a handle the server creates its own: a port that the system chooses is private.
    if (options.port === 0 && !listener.sharesFreePorts) return callback(0, null)
    return getTcp(owner, options, expectHandle(owner as net.Server, addressOf(options)), callback)
  }
}

function addressOf({ address, port, flags }: Query): SocketAddress {
  return { address, port: port ?? 0, flags: flags ?? 0 }
}

function answer(
  server: object,
  expected: ExpectedHandle,
  error: number,
  handle: Handle | null,
  callback: OnHandle,
): void {
  if (expected.closed) {
    handle?.close()
    expected.discard(() => callback(0, NO_HANDLE))
  } else if (handle !== null && error === 0) callback(0, handle)
  else failListening(server, error, callback)
}

/** A file on which no process answers is that of a process that was killed; it is replaced. */
function getUnix(query: GetServer, server: object, options: Query, path: string, callback: OnHandle): void {
  const ask = (onError: (error: number) => void): void =>
    query.call(cluster, server, options, (error, handle) => {
      if (error !== 0 || handle === null) return onError(error)
      const mode = modes.get(server)
      const code = mode === undefined ? 0 : setMode(path, mode)
      if (code !== 0) handle.close()
      callback(code, code === 0 ? handle : null)
    })
  ask((error) => {
    if (error !== EADDRINUSE) return callback(error, null)
    replaceStaleSocket(path, (replaced) => {
      if (replaced) ask((again) => callback(again, null))
      else callback(error, null)
    })
  })
}

function isUnix(address: SocketAddress): address is SocketAddress & { readonly address: string } {
  return address.port === -1 && address.address !== null
}

/** Cluster calls back without a handle if there was an error, which Node does not expect. */
function guard(callback: OnHandle): OnHandle {
  return (error, handle) => callback(error, handle ?? NO_HANDLE)
}

/** Gives the server the error that it would get under `node`: that of `listen`, not of `bind`. */
function failListening(owner: object, code: number, callback: OnHandle): void {
  const server = owner as { _listen2?: unknown }
  const { _listen2: listen } = net.Server.prototype as unknown as { _listen2?: (...args: unknown[]) => void }
  if (typeof listen !== 'function') return callback(code, NO_HANDLE)
  server._listen2 = function (this: unknown, address: unknown, ...rest: unknown[]): void {
    delete server._listen2
    listen.call(this, address ?? '::', ...rest)
  }
  callback(0, { ...NO_HANDLE, listen: () => code })
  delete server._listen2
}

/** Keeps account of a shared socket until it is closed. */
function track(handle: Handle, one: Listening, listener: WorkerSocketsListener): void {
  const { close } = handle
  handle.close = function (this: Handle, callback?: () => void): void {
    const { address, port } = one.address
    if (inUse.delete(one) && listener.releases()) {
      listener.onReleased(address, port)
      if (isUnix(one.address)) releaseSocketFile(one.address.address)
    }
    close.call(this, callback)
  }
}

/**
 * The server counts as listening meanwhile. The socket listens already: it was in use before, and
 * clients are served by other workers, or wait.
 */
function postponeAccepting(handle: Handle, one: Listening, gate: (open: () => void) => void): void {
  const { listen } = handle
  if (listen === undefined) return
  handle.listen = (backlog) => {
    gate(() => {
      if (inUse.has(one)) listen.call(handle, backlog)
    })
    return 0
  }
}

function patchListen({ onShared }: WorkerSocketsListener): void {
  const base = net.Server.prototype.listen as Listen
  defineMethod(net.Server.prototype, 'listen', function (this: net.Server, ...args: unknown[]): net.Server {
    const options = args[0]
    if (!isAddress(options)) return base.apply(this, args)
    const { exclusive, reusePort, path, port, host, readableAll, writableAll } = options
    if (path !== undefined && (readableAll === true || writableAll === true))
      modes.set(this, { readableAll, writableAll })
    if (!exclusive && !reusePort) return base.apply(this, args)
    // A private port stays private.
    if (path !== undefined || Number(port) > 0) {
      onShared(reusePort ? 'reusePort' : 'exclusive', path ?? (host ? `${host}:${port}` : `port ${port}`))
    }
    return base.call(this, { ...options, exclusive: false, reusePort: false }, ...args.slice(1))
  })
}

interface ListenAddress {
  readonly port?: unknown
  readonly host?: string
  readonly path?: string
  readonly exclusive?: boolean
  readonly reusePort?: boolean
  readonly readableAll?: boolean
  readonly writableAll?: boolean
}

/** Not a handle, and not an object with a handle or a descriptor. */
function isAddress(value: unknown): value is ListenAddress {
  return (
    typeof value === 'object' &&
    value !== null &&
    ('port' in value || 'path' in value) &&
    !('fd' in value || 'handle' in value || '_handle' in value)
  )
}

function patchBind({ onShared }: WorkerSocketsListener): void {
  const base = dgram.Socket.prototype.bind as Bind
  defineMethod(dgram.Socket.prototype, 'bind', function (this: dgram.Socket, ...args: unknown[]): dgram.Socket {
    const first = args[0]
    const isObject = typeof first === 'object' && first !== null
    if (isObject && ('fd' in first || 'recvStart' in first)) return base.apply(this, args)
    const options = (isObject ? first : { port: first, address: args[1] }) as Record<'port' | 'address', unknown>
    const callback = args.at(-1)
    const port = Number(options.port) || 0
    const address = typeof options.address === 'string' ? options.address : undefined
    const wasExclusive = 'exclusive' in options && options.exclusive === true
    if (wasExclusive && port > 0) onShared('exclusive', `${address ?? ''} udp ${port}`.trim())
    const shared = { ...options, port, address, exclusive: port === 0 }
    return typeof callback === 'function' ? base.call(this, shared, callback) : base.call(this, shared)
  })
}
