import { chmodSync, constants, statSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'

/** Where a socket listens. */
export interface SocketAddress {
  /** The path of a Unix socket; null for every address. */
  readonly address: string | null
  /** -1 for a Unix socket. */
  readonly port: number
  /** The flags of libuv. */
  readonly flags: number
}

/** `UV_TCP_IPV6ONLY` of libuv. */
const IPV6_ONLY = 1

/** Whether the system refuses to listen on both, because a connection could be for either. */
export function overlap(one: SocketAddress, other: SocketAddress): boolean {
  // The system chooses a free port for each.
  if (one.port !== other.port || one.port === 0) return false
  if (one.port === -1) return one.address === other.address
  return covers(one, other) || covers(other, one)
}

function covers({ address, flags }: SocketAddress, other: SocketAddress): boolean {
  if (address === other.address) return true
  const isOtherIpv4 = net.isIPv4(other.address ?? '')
  if (address === '0.0.0.0') return isOtherIpv4
  if (address !== null && address !== '::') return false
  return (flags & IPV6_ONLY) === 0 || !isOtherIpv4
}

const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/

/** Whether these arguments of `listen` mean a free port of the loopback address. */
export function isPrivateListen([first, second]: readonly unknown[]): boolean {
  const isObject = typeof first === 'object' && first !== null
  const { port, host } = (isObject ? first : { port: first, host: second }) as Record<'port' | 'host', unknown>
  return (port === 0 || port === '0') && typeof host === 'string' && LOOPBACK.test(host)
}

/** Who may use a Unix socket, beyond its owner. */
export interface ModeOptions {
  readonly readableAll: boolean | undefined
  readonly writableAll: boolean | undefined
}

/**
 * Adds the permissions, as `server.listen` does for the socket of a single process. Returns 0, or
 * the negative code of the error.
 */
export function setMode(path: string, { readableAll, writableAll }: ModeOptions): number {
  const { S_IRUSR, S_IRGRP, S_IROTH, S_IWUSR, S_IWGRP, S_IWOTH } = constants
  try {
    let mode = statSync(path).mode
    if (readableAll === true) mode |= S_IRUSR | S_IRGRP | S_IROTH
    if (writableAll === true) mode |= S_IWUSR | S_IWGRP | S_IWOTH
    chmodSync(path, mode & 0o7777)
    return 0
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -1
  }
}

/** How long a process may take to accept a connection until its socket counts as in use. */
const ANSWER_TIMEOUT = ms(1_000)

/**
 * Removes the file of a Unix socket on which no process listens: the process was killed. Calls back
 * with whether it was removed.
 */
export function replaceStaleSocket(path: string, callback: (replaced: boolean) => void): void {
  // An abstract socket has no file.
  if (path.startsWith('\0')) return callback(false)
  const before = inodeOf(path)
  if (before === null) return callback(true)
  const socket = net.connect(path)
  const finish = (refused: boolean): void => {
    cancel()
    socket
      .removeAllListeners('connect')
      .removeAllListeners('error')
      .on('error', () => {})
    socket.destroy()
    if (!refused) return callback(false)
    // Another worker may have replaced it meanwhile.
    if (inodeOf(path) === before) removeFile(path)
    callback(true)
  }
  const cancel = after(ANSWER_TIMEOUT, () => finish(false), { keepAlive: true })
  socket.once('connect', () => finish(false))
  socket.once('error', ({ code }: NodeJS.ErrnoException) => finish(code === 'ECONNREFUSED'))
}

/** The inode of a Unix socket; null if the file is missing or something else. */
export function inodeOf(path: string): number | null {
  const found = statSync(path, { throwIfNoEntry: false })
  return found?.isSocket() === true ? found.ino : null
}

function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Another process has removed it.
  }
}
