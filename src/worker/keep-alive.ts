import type net from 'node:net'
import { http } from '../http/node-http.ts'
import type { WorkerConfig } from '../ipc/worker-config.ts'
import { formatDuration, formatElapsed } from '../resilience/duration.ts'

/**
 * Applies the `keepAlive` setting to a server: always when somebody set it, else only where the app has left Node's own default, because an
 * app behind a load balancer may have good reasons for its own figure.
 *
 * @returns a sentence for the log where the setting does not apply
 */
export function applyKeepAlive(server: net.Server, { settings, chosen }: WorkerConfig): string | null {
  if (!(server instanceof http.Server)) return null
  const untouched = server.keepAliveTimeout === new http.Server().keepAliveTimeout
  if (!untouched && !chosen.includes('keepAlive')) {
    if (server.keepAliveTimeout === settings.keepAlive) return null
    const own = server.keepAliveTimeout === 0 ? 'unbounded' : formatElapsed(server.keepAliveTimeout)
    return `keepAlive (${formatDuration(settings.keepAlive)}) does not apply: the app keeps idle connections for ${own}; set --keep-alive to overrule it`
  }
  // Node writes "without limit" as 0.
  server.keepAliveTimeout = Number.isFinite(settings.keepAlive) ? settings.keepAlive : 0
  return null
}
