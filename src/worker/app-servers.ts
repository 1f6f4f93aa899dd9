import type { AddressInfo, Server } from 'node:net'
import { http } from '../http/node-http.ts'
import type { Traffic } from '../http/traffic.ts'
import type { BootNote } from '../ipc/messages.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'

/**
 * The servers of the app, of which one makes the worker ready: that on the configured port, if
 * there are several.
 */
export class AppServers {
  readonly #traffic: Traffic
  readonly #config: WorkerConfig
  readonly #servers = new Set<Server>()
  /** Whether the worker was ready because a server listened on the configured port. */
  #servedConfiguredPort = false

  constructor(traffic: Traffic, config: WorkerConfig) {
    this.#traffic = traffic
    this.#config = config
  }

  /** The app listens. Not for a server on a private port, unless the app has no other. */
  add(server: Server): void {
    this.#servers.add(server)
  }

  isConfigured(server: Server): boolean {
    return (server.address() as AddressInfo | null)?.port === this.#config.settings.port
  }

  /** The one that listens now, on the configured port if there is such a server. */
  get listening(): Server | undefined {
    const servers = [...this.#servers].filter(({ listening }) => listening)
    return servers.find((server) => this.isConfigured(server)) ?? servers[0]
  }

  /** The one with which a worker that is not ready may become so now. */
  get candidate(): Server | undefined {
    const server = this.listening
    if (server === undefined || this.isConfigured(server)) return server
    // Another server that is about to listen may be the one on the configured port.
    const isComing = this.#traffic.toListen.size > 0 || [...this.#traffic.servers].some((one) => this.#isNew(one))
    return this.#servedConfiguredPort || isComing ? undefined : server
  }

  /** It listens on the configured port, and is added after this turn of the event loop. */
  #isNew(server: Server): boolean {
    return !this.#servers.has(server) && server.listening && this.isConfigured(server)
  }

  /** The worker is ready because of this one. */
  serve(server: Server): void {
    this.#servedConfiguredPort = this.isConfigured(server)
  }

  /** Whether a worker that is ready has to stop being so, because the app has closed a server. */
  get haveClosed(): boolean {
    // It makes room for another, as the server of an export does.
    if (this.#traffic.toListen.size > 0) return false
    for (const server of this.#servers) if (!server.listening) this.#servers.delete(server)
    const server = this.listening
    return server === undefined || (this.#servedConfiguredPort && !this.isConfigured(server))
  }

  /** Warns about an app that listens on the default of `host`: under `node` it may read `HOST`. */
  hostNote(server: Server): BootNote | null {
    const { settings, chosen } = this.#config
    const { address } = server.address() as AddressInfo
    if (chosen.includes('host') || address !== settings.host || server === this.#traffic.ofExport) return null
    const message = `the app listens on ${address}, the default of --host (HOST); set it if the app has another default`
    return { event: 'default-host', message }
  }
}

/** The address of a server for the log: `127.0.0.1:3000`, or the path of a Unix socket. */
export function formatAddress(address: AddressInfo | string | null): string {
  if (address === null) return 'unknown'
  if (typeof address === 'string') return address
  return address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`
}

/**
 * Applies the `keepAlive` setting to a server: always if the user has set it, else only if the app
 * has kept Node's default, because an app behind a load balancer may need its own value.
 */
export function applyKeepAlive(server: Server, { settings, chosen }: WorkerConfig): void {
  if (!(server instanceof http.Server)) return
  const untouched = server.keepAliveTimeout === new http.Server().keepAliveTimeout
  if (!untouched && !chosen.includes('keepAlive')) return
  // Node writes "unbounded" as 0.
  server.keepAliveTimeout = Number.isFinite(settings.keepAlive) ? settings.keepAlive : 0
}
