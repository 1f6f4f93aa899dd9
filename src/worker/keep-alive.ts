import type net from 'node:net'
import { http } from '../http/node-http.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'

/**
 * Applies the `keepAlive` setting to a server: always if the user has set it, else only if the app
 * has kept Node's default, because an app behind a load balancer may need its own value.
 */
export function applyKeepAlive(server: net.Server, { settings, chosen }: WorkerConfig): void {
  if (!(server instanceof http.Server)) return
  const untouched = server.keepAliveTimeout === new http.Server().keepAliveTimeout
  if (!untouched && !chosen.includes('keepAlive')) return
  // Node writes "unbounded" as 0.
  server.keepAliveTimeout = Number.isFinite(settings.keepAlive) ? settings.keepAlive : 0
}
