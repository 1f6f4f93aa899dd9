import { type AddressInfo, createServer, isIP, type Server } from 'node:net'
import type { Log } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import { type Milliseconds, ms } from '../resilience/duration.ts'
import { promiseAtMost } from '../resilience/wait-at-most.ts'
import { AdminConnections } from './admin-connections.ts'
import { type AdminPages, AdminRoutes } from './admin-routes.ts'
import type { ArbiterControl } from './arbiter-control.ts'

export interface AdminServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Whether to take a free port instead of one that is in use. Default: false. */
  readonly orFree?: boolean
  /** What it serves. Default: all. */
  readonly pages?: AdminPages
  /** Allowed in the `Host` header besides `localhost` and addresses. Default: none. */
  readonly hosts?: readonly string[]
  /** The settings of its address, which errors name. Default: those of the admin server. */
  readonly settings?: AddressSettings
  readonly log?: Pick<Log, 'warn'>
  /** How long a client may take to send the head of a request. Default: 3 s. */
  readonly headTimeout?: Milliseconds
  /** How long a client may take to read the response, or idle. Default: 5 s. */
  readonly clientTimeout?: Milliseconds
  /** Maximum number of connections at a time; more close the longest silent. Default: 512. */
  readonly connections?: number
  /** Maximum number of connections from one address. Default: half of all. */
  readonly perAddress?: number
}

type AddressSettings =
  | { readonly port: 'adminPort'; readonly host: 'adminHost' }
  | { readonly port: 'probePort'; readonly host: 'probeHost' }

export interface AdminServer {
  /** `http://127.0.0.1:19464`, with the port that was taken. */
  readonly url: string
  readonly port: number
  /** Stops listening. Responses in progress get `timeout` to complete. Never rejects. */
  close(timeout: Milliseconds): Promise<void>
}

/** Maximum of unread answers and of requests behind them, over all connections. */
const MAX_HELD = 4 * 1024 * 1024

/**
 * Starts the admin server: probes, status, metrics and incidents over HTTP. It answers from the
 * arbiter's own data, so that a stalled worker cannot fail a probe, and only to GET and HEAD.
 * Throws `PUNCTUAL_ADMIN_PORT_TAKEN` if it cannot listen, unless the port is taken and `orFree`.
 */
export async function startAdminServer(control: ArbiterControl, options: AdminServerOptions): Promise<AdminServer> {
  const { host, port, log, pages = 'all', hosts = [], connections: limit = 512 } = options
  const { clientTimeout = ms(5_000), perAddress = Math.ceil(limit / 2) } = options
  const { headTimeout = ms(Math.min(3_000, clientTimeout)) } = options
  const routes = new AdminRoutes(control, { pages, host, hosts, log })
  const connections = new AdminConnections(
    { connections: limit, perAddress, held: MAX_HELD, headTimeout, clientTimeout },
    (request) => routes.answer(request),
  )
  const create = (): Server => createServer({ allowHalfOpen: true, noDelay: true }, (socket) => connections.add(socket))
  const servers = await listenOrFallBack(create, options)
  for (const server of servers) {
    server.on('error', (error) => log?.warn({ event: 'admin-server-failed', error }, 'the admin server failed'))
  }
  const bound = servers[0].address() as AddressInfo
  if (port !== 0 && bound.port !== port) {
    log?.warn(
      { event: 'admin-port-taken', host, port, taken: bound.port },
      `another process listens on the default admin port ${port}; using ${bound.port} instead (set --admin-port to choose)`,
    )
  }
  return {
    port: bound.port,
    url: `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close: async (timeout) => {
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
      const ended = connections.close()
      await promiseAtMost(
        timeout,
        (resolve) => void ended.then(resolve),
        () => connections.reset(),
      )
      await Promise.all(closed)
    },
  }
}

type Servers = readonly [Server, ...Server[]]

async function listenOrFallBack(create: () => Server, options: AdminServerOptions): Promise<Servers> {
  const { port, orFree } = options
  try {
    return await listenOn(create, options, port)
  } catch (error) {
    const isTaken = error instanceof PunctualError && error.details?.reason === 'EADDRINUSE'
    if (orFree !== true || !isTaken) throw error
    return await listenOn(create, options, 0)
  }
}

/**
 * The IPv4 loopback address is served together with that of IPv6: `localhost` may be either, and
 * must not lead to the page of another process.
 */
async function listenOn(create: () => Server, options: AdminServerOptions, port: number): Promise<Servers> {
  const { host } = options
  const server = create()
  await listen(server, options, host, port)
  if (host !== '127.0.0.1' && host !== 'localhost') return [server]
  const { address, port: bound } = server.address() as AddressInfo
  const other = create()
  try {
    await listen(other, options, address === '::1' ? '127.0.0.1' : '::1', bound)
    return [server, other]
  } catch (error) {
    // The machine may have no IPv6. A free port is only known to this server.
    const isTaken = error instanceof PunctualError && error.details?.reason === 'EADDRINUSE'
    if (port === 0 || !isTaken) return [server]
    await new Promise((resolve) => server.close(resolve))
    throw error
  }
}

function listen(server: Server, { settings = ADMIN }: AdminServerOptions, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port, settings)))
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

const ADMIN: AddressSettings = { port: 'adminPort', host: 'adminHost' }

function cannotListen(
  error: NodeJS.ErrnoException,
  host: string,
  port: number,
  settings: AddressSettings,
): PunctualError {
  const flags = settings.port === 'adminPort' ? 'admin' : 'probe'
  const known: Readonly<Record<string, readonly [why: string, setting: string]>> = {
    EADDRINUSE: [`another process listens on it; choose another --${flags}-port (0 takes a free one)`, settings.port],
    EADDRNOTAVAIL: [`${host} is not an address of this machine; choose another --${flags}-host`, settings.host],
    ENOTFOUND: [`${host} cannot be resolved; choose another --${flags}-host`, settings.host],
    EACCES: [`this user may not listen on port ${port}; choose a --${flags}-port above 1023`, settings.port],
  }
  const reason = error.code ?? null
  const other = `${error.message}; choose another --${flags}-port or --${flags}-host`
  const [why, setting] = known[reason ?? ''] ?? [other, null]
  return new PunctualError(
    'PUNCTUAL_ADMIN_PORT_TAKEN',
    `the ${flags} server cannot listen on ${isIP(host) === 6 ? `[${host}]` : host}:${port}: ${why}`,
    {
      cause: error,
      details: { host, port, reason, setting },
    },
  )
}
