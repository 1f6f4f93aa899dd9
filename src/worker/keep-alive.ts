import type net from 'node:net'
import { http } from '../http/node-http.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { formatDuration, formatElapsed } from '../resilience/duration.ts'

/**
 * Applies the `keepAlive` setting to a server: always if the user has set it, else only if the app
 * has kept Node's default, because an app behind a load balancer may need its own value.
 *
 * @returns a sentence for the log if the setting does not apply
 */
export function applyKeepAlive(server: net.Server, { settings, chosen }: WorkerConfig): string | null {
  if (!(server instanceof http.Server)) return null
  const untouched = server.keepAliveTimeout === new http.Server().keepAliveTimeout
  if (!untouched && !chosen.includes('keepAlive')) {
    if (server.keepAliveTimeout === settings.keepAlive) return null
    const own = server.keepAliveTimeout === 0 ? 'unbounded' : formatElapsed(server.keepAliveTimeout)
    return `keepAlive (${formatDuration(settings.keepAlive)}) does not apply, because the app keeps idle connections for ${own}; set --keep-alive to override it`
  }
  // Node writes "unbounded" as 0.
  server.keepAliveTimeout = Number.isFinite(settings.keepAlive) ? settings.keepAlive : 0
  return null
}
