import net from 'node:net'

interface Described {
  readonly one: string
  readonly many: string
}

/** Resources of Node that say nothing of what the process waits for. */
const NAMES: Readonly<Record<string, Described>> = {
  Timeout: { one: '1 timer', many: 'timers' },
  Immediate: { one: '1 immediate', many: 'immediates' },
  TCPServerWrap: { one: '1 server', many: 'servers' },
  PipeServerWrap: { one: '1 server', many: 'servers' },
  TCPSocketWrap: { one: '1 socket', many: 'sockets' },
  TCPWrap: { one: '1 socket', many: 'sockets' },
  PipeWrap: { one: '1 pipe', many: 'pipes' },
  UDPWrap: { one: '1 UDP socket', many: 'UDP sockets' },
  ProcessWrap: { one: '1 child process', many: 'child processes' },
  MessagePort: { one: '1 worker thread', many: 'worker threads' },
  FSEventWrap: { one: '1 file watcher', many: 'file watchers' },
  StatWatcher: { one: '1 file watcher', many: 'file watchers' },
  GetAddrInfoReqWrap: { one: '1 DNS look-up', many: 'DNS look-ups' },
  TCPConnectWrap: { one: '1 connection attempt', many: 'connection attempts' },
}
/** The terminal, and what has ended. */
const IGNORED = new Set(['TTYWrap', 'CloseReq', 'TickObject'])
const MAX_LISTED = 6

/**
 * What keeps this process alive, with the addresses of sockets: `1 timer`, `2 sockets to
 * 127.0.0.1:5432`. The most frequent first.
 */
export function activeResources(): readonly string[] {
  const counts = new Map<string, number>()
  const add = (name: string, by = 1): void => void counts.set(name, (counts.get(name) ?? 0) + by)
  const places = new Map<string, string[]>()
  const ignored = new Map<string, number>()
  for (const handle of activeHandles()) {
    // Standard output; a pipe if the arbiter's is one.
    if ((handle as { _isStdio?: boolean })._isStdio === true)
      ignored.set('PipeWrap', (ignored.get('PipeWrap') ?? 0) + 1)
    const place = placeOf(handle)
    if (place !== null) places.set(place.type, [...(places.get(place.type) ?? []), place.text])
  }
  for (const type of process.getActiveResourcesInfo()) {
    const rest = ignored.get(type) ?? 0
    if (rest > 0) ignored.set(type, rest - 1)
    if (IGNORED.has(type) || rest > 0) continue
    const place = places.get(type)?.pop()
    add(place === undefined ? type : `${type} ${place}`)
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, MAX_LISTED)
    .map(([name, count]) => format(name, count))
}

function format(name: string, count: number): string {
  const space = name.indexOf(' ')
  const type = space === -1 ? name : name.slice(0, space)
  const place = space === -1 ? '' : name.slice(space)
  const described = NAMES[type]
  if (described === undefined) return `${count} ${type}${place}`
  return `${count === 1 ? described.one : `${count} ${described.many}`}${place}`
}

/** Undocumented, and absent from a later version of Node perhaps. */
function activeHandles(): readonly unknown[] {
  const internals = process as typeof process & { _getActiveHandles?(): readonly unknown[] }
  return internals._getActiveHandles?.() ?? []
}

function placeOf(handle: unknown): { readonly type: string; readonly text: string } | null {
  if (handle instanceof net.Socket && handle.remoteAddress !== undefined) {
    const from = (handle as net.Socket & { readonly server?: unknown }).server == null ? 'to' : 'from'
    return { type: 'TCPSocketWrap', text: `${from} ${hostAndPort(handle.remoteAddress, handle.remotePort)}` }
  }
  if (handle instanceof net.Server) {
    const address = handle.address()
    if (typeof address === 'object' && address !== null)
      return { type: 'TCPServerWrap', text: `on ${hostAndPort(address.address, address.port)}` }
  }
  return null
}

function hostAndPort(address: string, port: number | undefined): string {
  const host = address.replace(/^::ffff:(?=[\d.]+$)/, '')
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
