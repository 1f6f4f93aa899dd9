/**
 * Patch of `net._createServerHandle`, the function with which `node:cluster` creates its shared
 * handles (in the arbiter).
 *
 * Why: cluster closes a listening socket when the last worker that used it exits, and with it the
 * connections in its backlog: after a kill of the only worker, clients would be refused or reset
 * until the next one has booted. With the patch they wait. Also, a worker must be able to listen on
 * an address while another one (of an older generation, or one that probes its ports) has one that
 * overlaps it, as if it were the only process. If Node has no such function, cluster behaves as
 * usual.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/listening-handles.test.ts and test/compatibility/habits/listening.test.ts
 */
import cluster from 'node:cluster'
import net from 'node:net'
import { constants } from 'node:os'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import { overlap, type SocketAddress } from './socket-addresses.ts'
import { SocketFile } from './socket-file.ts'

type Handle = {
  close: (callback?: () => void) => void
  listen?: (backlog: number) => number
  getsockname?: (out: object) => number
}
type Arguments = [
  address: string | null,
  port: number | null,
  addressType: number | null,
  fd?: number | null,
  flags?: number,
]
type CreateHandle = (...address: Arguments) => Handle | number

interface KeptHandle {
  readonly key: string
  /** Null for an inherited descriptor. */
  readonly address: SocketAddress | null
  readonly handle: Handle
  readonly file: SocketFile | null
  /** Closes it for good. */
  readonly close: () => void
  /** Monotonic milliseconds; null while a worker uses it. */
  unusedSince: number | null
  /** A worker that boots has released it: it is closed with its last user. */
  released: boolean
}

/** The listening sockets that outlive their workers. */
export interface KeptHandles {
  /**
   * Closes those that no worker has used for longer than this: the app no longer listens there, and
   * clients should be refused. Puts back the files of Unix sockets that were removed.
   */
  closeUnused(longerThan: Milliseconds): void
  /** Puts back the files of Unix sockets that were removed while workers listen on them. */
  restoreFiles(): void
  /** The absolute paths of the Unix sockets. */
  files(): readonly string[]
  /** A worker stops listening on that address of its own accord, so the socket is not kept. */
  release(address: string | null, port: number): void
  /** From now on a socket is closed with its last worker, so that clients are refused. */
  keepNoMore(): void
  /** Closes all: once the workers have closed theirs, clients are refused. */
  closeAll(): void
}

/**
 * How long a worker may take to close its own descriptor after it has said so, in milliseconds: the
 * message is sent first, and a starved worker is preempted in between.
 */
const CLOSING = 10_000

/** `UV_TCP_REUSEPORT` of libuv: overlapping addresses of this process do not exclude each other. */
const REUSE_PORT = 2
const { EADDRINUSE, ENOTSUP, EINVAL } = constants.errno

/**
 * Keeps every listening socket of the app open when its workers exit: `close` does nothing, and the
 * same address gets the same handle.
 */
export function keepListeningHandles(): KeptHandles {
  const internal = net as typeof net & { _createServerHandle?: CreateHandle }
  const create = internal._createServerHandle
  let kept: KeptHandle[] = []
  let keeping = true
  /** Ports of closed sockets, and when they were closed. */
  const closedPorts = new Map<number, number>()
  const close = (one: KeptHandle): void => {
    kept = kept.filter((other) => other !== one)
    if (one.address !== null) closedPorts.set(one.address.port ?? 0, monotonicNow())
    one.close()
  }
  /** Whether a worker may listen on that port, or may still hold what was closed. */
  const isOurs = (port: number | null | undefined): boolean => {
    const closedAt = closedPorts.get(port ?? 0)
    if (closedAt !== undefined && monotonicNow() - closedAt < CLOSING) return true
    return kept.some(({ address }) => address !== null && address.port === port)
  }
  /** Connections that wait in an unused socket would be missed by the one that is used instead. */
  const isReplaced = (one: KeptHandle): boolean =>
    kept.some((other) => other !== one && other.unusedSince === null && overlaps(one, other))
  const closeReplaced = (): void => {
    for (const one of kept.filter((one) => one.unusedSince !== null && isReplaced(one))) close(one)
  }
  const restoreFiles = (): void => {
    for (const { file } of kept) file?.restore()
  }

  const handles: KeptHandles = {
    closeUnused(longerThan) {
      const now = monotonicNow()
      const isOver = ({ unusedSince, address }: KeptHandle): boolean =>
        unusedSince !== null && address !== null && now - unusedSince > longerThan
      for (const one of kept.filter(isOver)) close(one)
      restoreFiles()
    },
    restoreFiles,
    files: () => kept.flatMap(({ file }) => (file === null ? [] : [file.path])),
    release(address, port) {
      const wanted = { address, port, flags: 0 }
      for (const one of kept) if (one.address !== null && isSame(one.address, wanted)) one.released = true
    },
    keepNoMore() {
      keeping = false
      for (const one of kept.filter(({ unusedSince }) => unusedSince !== null)) close(one)
    },
    closeAll() {
      keeping = false
      for (const one of kept) close(one)
    },
  }
  if (typeof create !== 'function') return handles

  const createKept = (args: Arguments): Handle | number => {
    const key = JSON.stringify(args)
    const same = kept.filter((one) => one.key === key)
    const known = same.find(({ unusedSince }) => unusedSince !== null)
    // Cluster asks for a handle that is in use only if one worker wants it twice, or a free port.
    if (known === undefined && same.length > 0 && args[1] !== 0) return -EADDRINUSE
    if (known !== undefined) {
      known.unusedSince = null
      known.released = false
      known.file?.restore()
      return known.handle
    }
    const address = addressOf(args)
    const isTcp = address !== null && address.port !== -1
    const handle = isTcp ? createTcp(create, args, isOurs(address.port)) : create(...args)
    // A number is an error code: EADDRINUSE, EACCES.
    if (typeof handle !== 'object') return handle
    const closeHandle = handle.close.bind(handle)
    const bound = address === null ? null : { ...address, port: portOf(handle) || address.port }
    const file = address?.port === -1 ? SocketFile.of(address.address ?? '') : null
    const one: KeptHandle = {
      key,
      address: bound,
      handle,
      file,
      close: () => {
        file?.forget()
        closeHandle()
      },
      unusedSince: null,
      released: false,
    }
    handle.close = (callback) => {
      one.unusedSince = monotonicNow()
      // An inherited descriptor cannot be opened again.
      const isKept = one.address === null || (keeping && !one.released && !isReplaced(one))
      if (!isKept) close(one)
      callback?.()
    }
    kept.push(one)
    closeReplaced()
    return handle
  }
  internal._createServerHandle = (...args) => createKept(args)
  cluster.on('listening', (_, { address, port }) => {
    for (const one of kept)
      if (one.address !== null && isSame(one.address, { address, port, flags: 0 })) one.released = false
    restoreFiles()
  })
  return handles
}

/** @param isOurs whether this process or a worker may have another socket on that port */
function createTcp(create: CreateHandle, args: Arguments, isOurs: boolean): Handle | number {
  const [address, port, addressType, fd, flags = 0] = args
  if (!isOurs && port !== 0) {
    // Once only: another process that reuses its port, too, would not be noticed otherwise.
    const probe = create(...args)
    if (typeof probe !== 'object') return probe
    const code = isBound(probe, port) ? (probe.listen?.(1) ?? 0) : -EADDRINUSE
    probe.close()
    if (code !== 0) return code
  }
  const handle = create(address, port, addressType, fd, flags | REUSE_PORT)
  const isUnsupported = handle === -ENOTSUP || handle === -EINVAL
  const created = isUnsupported ? create(...args) : handle
  if (typeof created !== 'object' || isBound(created, port)) return created
  created.close()
  return -EADDRINUSE
}

/** libuv reports an address in use when the socket listens, but leaves it unbound until then. */
function isBound(handle: Handle, port: number | null): boolean {
  return port === 0 || portOf(handle) === port
}

/** 0 for a handle that is not bound, or not of TCP. */
function portOf(handle: Handle): number {
  const name: { port?: number } = {}
  return handle.getsockname?.(name) === 0 ? (name.port ?? 0) : 0
}

function addressOf([address, port, addressType, , flags]: Arguments): SocketAddress | null {
  if (port === null || addressType === null) return null
  return { address, port, flags: flags ?? 0 }
}

function overlaps(one: KeptHandle, other: KeptHandle): boolean {
  return one.address !== null && other.address !== null && overlap(one.address, other.address)
}

function isSame(one: SocketAddress, other: SocketAddress): boolean {
  return one.address === other.address && one.port === other.port
}
