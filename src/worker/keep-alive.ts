import type net from 'node:net'
import type { WorkerConfig } from '../protocol/worker-config.ts'
import { http } from '../request/node-http.ts'

/**
 * Applies the `keepAlive` setting to a server: always when somebody set it, else only where the app has left Node's own default, because an
 * app behind a load balancer may have good reasons for its own figure.
 */
export function applyKeepAlive(server: net.Server, { settings, chosen }: WorkerConfig): void {
  if (!(server instanceof http.Server)) return
  const untouched = server.keepAliveTimeout === new http.Server().keepAliveTimeout
  if (!untouched && !chosen.includes('keepAlive')) return
  // Node writes "without limit" as 0.
  server.keepAliveTimeout = Number.isFinite(settings.keepAlive) ? settings.keepAlive : 0
}
